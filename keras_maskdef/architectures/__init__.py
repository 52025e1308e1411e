"""Networks for small images, as plain functional Keras models."""

from keras_maskdef.architectures.attention_unet import attention_unet
from keras_maskdef.architectures.convnet import convnet
from keras_maskdef.architectures.lenet import lenet
from keras_maskdef.architectures.resnet import resnet18, resnet50
from keras_maskdef.architectures.vgg import vgg16

__all__ = ["attention_unet", "convnet", "lenet", "resnet18", "resnet50", "vgg16"]
