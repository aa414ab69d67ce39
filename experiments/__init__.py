"""The papers' experiments, one module for each figure or table. Only here the parts are composed."""
