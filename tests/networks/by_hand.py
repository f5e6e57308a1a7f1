"""A 2D U-Net without batch norm in NumPy and float64, from variables named as the original programs name them."""

import numpy as np


def unet(variables, image, downsampling, upsampling, heads=2, largest=6):
    """Output of a network whose skips are concatenated and whose output is added to the image ``(y, x, channels)``.

    ``downsampling`` (finest first) and ``upsampling`` (coarsest first) name the operators, GVTOs by their version, the
    attention of which is divided by the length of the query; ``largest`` is that of the activation.
    """
    v = {name: np.asarray(value, "float64") for name, value in variables.items()}

    def activated(x):
        return np.clip(x, 0, largest)

    def residual(x, name, stride=1):
        h = activated(x)
        own = f"{name}/projection_shortcut/kernel"
        shortcut = convolution(h, v[own], stride) if own in v else x
        inner = activated(convolution(h, v[f"{name}/convolution_1/kernel"], stride))
        return shortcut + convolution(inner, v[f"{name}/convolution_2/kernel"])

    def residuals(x, name):
        number = 0
        while f"{name}/res_{number}/convolution_1/kernel" in v:
            x, number = residual(x, f"{name}/res_{number}"), number + 1
        return x

    def attention(x, name, resampled=None, version=None):
        """GVTO: ``resampled(h, kernel)`` is the convolution that changes the size."""
        h = activated(x)
        projected = {
            part: (resampled if part == "q" and resampled else convolution)(
                h, v[f"{name}/attention/{part}_transform/kernel"]
            )
            + v[f"{name}/attention/{part}_transform/bias"]
            for part in "qkv"
        }
        q, k, value = (np.reshape(t, (-1, t.shape[-1])) for t in projected.values())
        y = []
        for qh, kh, vh in zip(*(np.split(t, heads, axis=-1) for t in (q, k, value)), strict=True):
            y.append(qh @ kh.T / np.sqrt(qh.shape[-1]) / len(q) @ vh)
        y = np.concatenate(y, axis=-1).reshape(*projected["q"].shape[:-1], -1)
        y = convolution(y, v[f"{name}/attention/out_transform/kernel"]) + v[f"{name}/attention/out_transform/bias"]
        if version is None:
            return x + y
        return y + (resampled(h, v[f"{name}/projection_shortcut/kernel"]) if version == "v1" else projected["q"])

    def strided(x, kernel):
        return convolution(x, kernel, 2)

    x, skips = residuals(convolution(image, v["first_convolution/kernel"]), "encoding_block_1"), []
    for level, kind in enumerate(downsampling, 2):
        skips.append(x)
        name = f"encoding_block_{level}/downsampling"
        if kind == "convolution":
            x = strided(x, v[f"{name}/convolution/kernel"])
        elif kind == "residual":
            x = residual(x, name, 2)
        else:
            x = attention(x, name, strided, kind[-2:])
        x = residuals(x, f"encoding_block_{level}")
    x = attention(x, "bottom_block/block_0")
    for level, kind in zip(range(len(upsampling), 0, -1), upsampling, strict=True):
        name = f"decoding_block_{level}/upsampling"
        if kind == "transposed_convolution":
            x = transposed(x, v[f"{name}/transposed_convolution/kernel"])
        else:
            x = attention(x, name, transposed, kind[-2:])
        x = residuals(np.concatenate([x, skips.pop()], axis=-1), f"decoding_block_{level}")
    return image + convolution(activated(x), v["out_conv/kernel"])


def convolution(x, kernel, stride=1):
    """With TensorFlow's ``same`` padding of sizes that the stride divides."""
    pads = [(max(k - stride, 0) // 2, max(k - stride, 0) - max(k - stride, 0) // 2) for k in kernel.shape[:2]]
    padded = np.pad(x, [*pads, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(0, 1))[::stride, ::stride]
    return np.einsum("yxcab,abck->yxk", windows, kernel)


def transposed(x, kernel):
    """Stride 2: position i writes to 2 i and behind it, and what sticks out is cut off."""
    (height, width, _), (rows, columns) = x.shape, kernel.shape[:2]
    full = np.zeros((2 * height + rows - 2, 2 * width + columns - 2, kernel.shape[2]))
    for a in range(rows):
        for b in range(columns):
            full[a : a + 2 * height : 2, b : b + 2 * width : 2] += x @ kernel[a, b].T
    first = [(k - 2) // 2 for k in (rows, columns)]
    return full[first[0] : first[0] + 2 * height, first[1] : first[1] + 2 * width]
