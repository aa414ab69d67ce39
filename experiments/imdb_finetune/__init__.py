"""Fine-tune a BERT end to end on film reviews, and hand it on as a Hugging Face checkpoint."""
