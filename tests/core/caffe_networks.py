"""Networks in Caffe's text format, written after the papers that describe them."""

from __future__ import annotations

# LeNet as Caffe trains it: LeCun et al. 1998, with ReLU and inner products at the end.
LENET = """
name: "LeNet"
layer {
  name: "mnist"  type: "Data"  top: "data"  top: "label"
  include { phase: TRAIN }
  transform_param { scale: 0.00390625 }
  data_param { source: "examples/mnist/mnist_train_lmdb" batch_size: 64 backend: LMDB }
}
layer {
  name: "mnist"  type: "Data"  top: "data"  top: "label"
  include { phase: TEST }
  data_param { source: "examples/mnist/mnist_test_lmdb" batch_size: 100 backend: LMDB }
}
layer {
  name: "conv1"  type: "Convolution"  bottom: "data"  top: "conv1"
  param { lr_mult: 1 }
  param { lr_mult: 2 }
  convolution_param {
    num_output: 20  kernel_size: 5  stride: 1
    weight_filler { type: "xavier" }
    bias_filler { type: "constant" }
  }
}
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
        convolution_param { num_output: 50 kernel_size: 5 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" inner_product_param { num_output: 500 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }  # in place
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""

# Krizhevsky's quick network for CIFAR-10, in the old syntax: the windows of its pools do not fit, Caffe rounds up.
CIFAR_QUICK = """
name: 'CIFAR10_quick'
input: "data"
input_dim: 1 input_dim: 3 input_dim: 32 input_dim: 32
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2
         convolution_param { num_output: 32 pad: 2 kernel_size: 5 stride: 1 } }
layers { name: "pool1" type: POOLING bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layers { name: "relu1" type: RELU bottom: "pool1" top: "pool1" }
layers { name: "conv2" type: CONVOLUTION bottom: "pool1" top: "conv2" blobs_lr: 1 blobs_lr: 2
         convolution_param { num_output: 32 pad: 2 kernel_size: 5 stride: 1 } }
layers { name: "relu2" type: RELU bottom: "conv2" top: "conv2" }
layers { name: "pool2" type: POOLING bottom: "conv2" top: "pool2" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layers { name: "conv3" type: CONVOLUTION bottom: "pool2" top: "conv3"
         convolution_param { num_output: 64 pad: 2 kernel_size: 5 stride: 1 } }
layers { name: "relu3" type: RELU bottom: "conv3" top: "conv3" }
layers { name: "pool3" type: POOLING bottom: "conv3" top: "pool3" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layers { name: "ip1" type: INNER_PRODUCT bottom: "pool3" top: "ip1" inner_product_param { num_output: 64 } }
layers { name: "ip2" type: INNER_PRODUCT bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
layers { name: "prob" type: SOFTMAX bottom: "ip2" top: "prob" }
"""


def source(channels: int, height: int, width: int) -> str:
    dims = f"dim: 16 dim: {channels} dim: {height} dim: {width}"
    return f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}\n'


def one(kind: str, name: str, bottoms: str, top: str = "", **options: str) -> str:
    """A layer; `bottoms` are separated by spaces, the top has the layer's name by default."""
    parts = [f'bottom: "{bottom}"' for bottom in bottoms.split()] + [f'top: "{x}"' for x in (top or name).split()]
    parts += [f"{option} {{ {text} }}" for option, text in options.items()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(parts)} }}\n'


def conv(name: str, bottom: str, outputs: int, kernel: int, more: str = "") -> str:
    text = f"num_output: {outputs} kernel_size: {kernel} {more}"
    return one("Convolution", name, bottom, convolution_param=text)


def pool(name: str, bottom: str, text: str) -> str:
    return one("Pooling", name, bottom, pooling_param=text)


def ip(name: str, bottom: str, outputs: int) -> str:
    return one("InnerProduct", name, bottom, inner_product_param=f"num_output: {outputs}")


def relu(name: str, blob: str) -> str:
    return one("ReLU", name, blob, blob)


def inception(name: str, bottom: str, sizes: tuple[int, ...]) -> str:
    """Szegedy et al. 2014, figure 2b: four branches side by side."""
    first, reduce3, out3, reduce5, out5, projected = sizes
    branches = [
        conv(f"{name}/1x1", bottom, first, 1),
        conv(f"{name}/3x3_reduce", bottom, reduce3, 1),
        relu(f"{name}/relu_3x3_reduce", f"{name}/3x3_reduce"),
        conv(f"{name}/3x3", f"{name}/3x3_reduce", out3, 3, "pad: 1"),
        conv(f"{name}/5x5_reduce", bottom, reduce5, 1),
        relu(f"{name}/relu_5x5_reduce", f"{name}/5x5_reduce"),
        conv(f"{name}/5x5", f"{name}/5x5_reduce", out5, 5, "pad: 2"),
        pool(f"{name}/pool", bottom, "pool: MAX kernel_size: 3 stride: 1 pad: 1"),
        conv(f"{name}/pool_proj", f"{name}/pool", projected, 1),
    ]
    ends = [f"{name}/{end}" for end in ("1x1", "3x3", "5x5", "pool_proj")]
    return (
        "".join(branches)
        + "".join(relu(f"{end}_relu", end) for end in ends)
        + one("Concat", f"{name}/output", " ".join(ends))
    )


def normed(name: str, bottom: str, outputs: int, kernel: int, more: str = "") -> str:
    """A convolution with batch norm, as He et al. wrote it: in place, with a Scale after it."""
    return (
        conv(name, bottom, outputs, kernel, f"bias_term: false {more}")
        + one("BatchNorm", f"bn_{name}", name, name, batch_norm_param="use_global_stats: false")
        + one("Scale", f"scale_{name}", name, name, scale_param="bias_term: true")
    )


def bottleneck(name: str, bottom: str, width: int, stride: int, projects: bool) -> str:
    """He et al. 2015, figure 5 right."""
    text = normed(f"{name}_1", bottom, 4 * width, 1, f"stride: {stride}") if projects else ""
    text += normed(f"{name}_2a", bottom, width, 1, f"stride: {stride}") + relu(f"{name}_2a_relu", f"{name}_2a")
    text += normed(f"{name}_2b", f"{name}_2a", width, 3, "pad: 1") + relu(f"{name}_2b_relu", f"{name}_2b")
    text += normed(f"{name}_2c", f"{name}_2b", 4 * width, 1)
    text += one("Eltwise", name, f"{f'{name}_1' if projects else bottom} {name}_2c")
    return text + relu(f"{name}_relu", name)


INCEPTION_3A = source(192, 28, 28) + inception("3a", "data", (64, 96, 128, 16, 32, 32))
RESNET_2A = source(64, 56, 56) + bottleneck("res2a", "data", 64, 1, True)
SMALL_INCEPTION = (
    source(3, 12, 12)
    + inception("a", "data", (4, 3, 4, 2, 3, 2))
    + pool("all", "a/output", "pool: AVE global_pooling: true")
)
SMALL_INCEPTION += ip("classes", "all", 10)
SMALL_RESNET = source(3, 12, 12) + normed("stem", "data", 8, 3, "pad: 1") + bottleneck("a", "stem", 4, 2, True)
SMALL_RESNET += (
    bottleneck("b", "a", 4, 1, False) + pool("all", "b", "pool: AVE global_pooling: 1") + ip("classes", "all", 10)
)


def alexnet() -> str:
    """Krizhevsky et al. 2012: two groups, local response norms, as Caffe's reference model."""
    lrn = {"lrn_param": "local_size: 5 alpha: 0.0001 beta: 0.75"}
    drop = {"dropout_param": "dropout_ratio: 0.5"}
    pooled = "pool: MAX kernel_size: 3 stride: 2"
    return (
        source(3, 227, 227)
        + conv("conv1", "data", 96, 11, "stride: 4")
        + relu("relu1", "conv1")
        + one("LRN", "norm1", "conv1", **lrn)
        + pool("pool1", "norm1", pooled)
        + conv("conv2", "pool1", 256, 5, "pad: 2 group: 2")
        + relu("relu2", "conv2")
        + one("LRN", "norm2", "conv2", **lrn)
        + pool("pool2", "norm2", pooled)
        + conv("conv3", "pool2", 384, 3, "pad: 1")
        + relu("relu3", "conv3")
        + conv("conv4", "conv3", 384, 3, "pad: 1 group: 2")
        + relu("relu4", "conv4")
        + conv("conv5", "conv4", 256, 3, "pad: 1 group: 2")
        + relu("relu5", "conv5")
        + pool("pool5", "conv5", pooled)
        + ip("fc6", "pool5", 4096)
        + relu("relu6", "fc6")
        + one("Dropout", "drop6", "fc6", "fc6", **drop)
        + ip("fc7", "fc6", 4096)
        + relu("relu7", "fc7")
        + one("Dropout", "drop7", "fc7", "fc7", **drop)
        + ip("fc8", "fc7", 1000)
        + one("Softmax", "prob", "fc8")
    )


def vgg16() -> str:
    """Simonyan & Zisserman 2014, configuration D, in the old syntax as its authors published it."""
    text, before = 'name: "VGG16" input: "data" input_dim: 10 input_dim: 3 input_dim: 224 input_dim: 224\n', "data"

    def layer(name: str, kind: str, top: str, options: str = "") -> str:
        return f'layers {{ bottom: "{before}" top: "{top}" name: "{name}" type: {kind} {options} }}\n'

    for block, (width, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
        for i in range(1, depth + 1):
            name = f"conv{block}_{i}"
            text += layer(
                name, "CONVOLUTION", name, f"convolution_param {{ num_output: {width} pad: 1 kernel_size: 3 }}"
            )
            before = name
            text += layer(f"relu{block}_{i}", "RELU", name)
        text += layer(f"pool{block}", "POOLING", f"pool{block}", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
        before = f"pool{block}"
    for name, size in (("fc6", 4096), ("fc7", 4096), ("fc8", 1000)):
        text += layer(name, "INNER_PRODUCT", name, f"inner_product_param {{ num_output: {size} }}")
        before = name
        if size == 4096:
            text += layer(f"relu_{name}", "RELU", name) + layer(f"drop_{name}", "DROPOUT", name)
    return text + layer("prob", "SOFTMAX", "prob")


def googlenet() -> str:
    """Szegedy et al. 2014, table 1, with the two classifiers that only training uses."""
    sizes = {
        "3a": (64, 96, 128, 16, 32, 32),
        "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128),
        "5b": (384, 192, 384, 48, 128, 128),
    }
    pooled = "pool: MAX kernel_size: 3 stride: 2"
    text = (
        source(3, 224, 224) + 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 16 } } }\n'
    )
    text += conv("conv1", "data", 64, 7, "pad: 3 stride: 2") + relu("relu1", "conv1") + pool("pool1", "conv1", pooled)
    text += one("LRN", "norm1", "pool1") + conv("conv2r", "norm1", 64, 1) + relu("relu2r", "conv2r")
    text += conv("conv2", "conv2r", 192, 3, "pad: 1") + relu("relu2", "conv2") + one("LRN", "norm2", "conv2")
    text += pool("pool2", "norm2", pooled)
    before = "pool2"
    for name, of in sizes.items():
        text += inception(name, before, of)
        before = f"{name}/output"
        if name in {"3b", "4e"}:
            text += pool(f"pool{name}", before, pooled)
            before = f"pool{name}"
        if name in {"4a", "4d"}:
            text += pool(f"{name}/ave", before, "pool: AVE kernel_size: 5 stride: 3") + conv(
                f"{name}/c", f"{name}/ave", 128, 1
            )
            text += ip(f"{name}/fc", f"{name}/c", 1024) + ip(f"{name}/classes", f"{name}/fc", 1000)
            text += one("SoftmaxWithLoss", f"{name}/loss", f"{name}/classes label")
    text += pool("pool5", before, "pool: AVE kernel_size: 7 stride: 1") + one("Dropout", "drop", "pool5", "pool5")
    return text + ip("classes", "pool5", 1000) + one("SoftmaxWithLoss", "loss", "classes label")


def resnet50() -> str:
    """He et al. 2015, table 1."""
    text = source(3, 224, 224) + normed("conv1", "data", 64, 7, "pad: 3 stride: 2") + relu("relu1", "conv1")
    text += pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    before = "pool1"
    for stage, (width, depth) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 2):
        for i in range(depth):
            name = f"res{stage}{'abcdef'[i]}"
            text += bottleneck(name, before, width, 2 if i == 0 and stage > 2 else 1, i == 0)
            before = name
    return text + pool("pool5", before, "pool: AVE kernel_size: 7 stride: 1") + ip("fc1000", "pool5", 1000)
