"""Is a medical language model better than the model it was built from?"""

__version__ = "0.1.0"
