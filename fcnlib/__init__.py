"""FCN-GoogLeNet: fully convolutional networks for semantic segmentation on Inception-v3.

Import the stage you need (`from fcnlib import metrics`); nothing is imported here, so that
`fcnlib --help` answers at once.
"""

__version__ = "0.1.0"
