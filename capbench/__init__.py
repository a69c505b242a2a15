"""capbench: what does a fine-tuning method do to the capabilities a model already had?"""

__version__ = "0.1.0"
