"""Attack VIB at many betas, a deterministic network and dropout: how much of the robustness is there?"""
