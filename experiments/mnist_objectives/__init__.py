"""Compare VIB, VUB, CEB and consistent CEB: the same network and the same tuning budget for each."""
