"""Figures of the papers' tables, to be printed beside ours. AEANet paper, unless it says otherwise."""

# Table I, pooled training: improvement over the bicubic input in PSNR (dB), in SSIM with Gaussian weights (protocol em)
# and in SSIM with a uniform window (em-notebook). The paper has one column of SSIM. The notebook that gives its figures
# of AEANet has a uniform window; of the methods of the earlier study, whose SSIM the paper says it matches, it is that
# of its text.
TABLE1 = {
    "VDSR": (1.25, 0.047, None),
    "RCAN": (1.59, 0.051, None),
    "EDSR": (1.35, 0.051, None),
    "Paired LB-NLM": (0.78, 0.031, None),
    "U-Net": (1.46, None, 0.074),
    "GVTNet": (1.87, None, 0.086),
    "Learned query": (1.64, None, 0.084),
    "AEANet": (2.10, None, 0.087),
}

# Table I, self-training: the same. U-Net, GVTNet and AEANet stand in the earlier versions of the paper only, table 1.
TABLE1_SELF = {
    "VDSR": (2.07, 0.051, None),
    "RCAN": (2.07, 0.050, None),
    "EDSR": (2.06, 0.052, None),
    "Paired LB-NLM": (1.67, 0.037, None),
    "U-Net": (1.42, None, 0.036),
    "GVTNet": (1.81, None, 0.078),
    "AEANet": (1.06, None, 0.032),
}

# Table I, right: improvement in PSNR (dB) of foreground and background; the first three trained on the image itself.
TABLE1_REGIONS = {
    "VDSR (self)": (0.97, 2.83),
    "SRSW (self)": (-0.25, 2.15),
    "Paired LB-NLM (self)": (0.23, 2.65),
    "Learned query": (0.75, 1.95),
    "AEANet": (1.15, 2.42),
}

# Tables II and III: condition -> (SSIM, PSNR), each a mean, or a mean and a deviation over test images. What they call
# Unet is the CARE that the GVTNet paper compares with (its sections 2.3 and 2.4).
TABLE2 = {
    "Input": {"C3": (0.1561, 21.43), "C2": (0.1827, 21.73), "C1": (0.2260, 22.22), "Avg": (0.1883, 21.79)},
    "CARE": {
        "C3": ((0.6441, 0.1207), (28.13, 1.37)),
        "C2": ((0.7397, 0.0885), (30.15, 1.66)),
        "C1": ((0.7707, 0.0889), (31.57, 1.71)),
        "Avg": (0.7182, 29.95),
    },
    "GVTNet": {
        "C3": ((0.6972, 0.1177), (28.63, 1.42)),
        "C2": ((0.7745, 0.0886), (30.88, 1.65)),
        "C1": ((0.7929, 0.0824), (31.95, 1.64)),
        "Avg": (0.7549, 30.49),
    },
    "AEANet": {
        "C3": ((0.7073, 0.0994), (28.64, 1.39)),
        "C2": ((0.7764, 0.0897), (30.95, 1.84)),
        "C1": ((0.7933, 0.0838), (32.08, 1.70)),
        "Avg": (0.7590, 30.56),
    },
}
TABLE3 = {
    "Input": {"C3": (0.0241, 16.62), "C2": (0.0795, 17.23), "C1": (0.1902, 18.38), "Avg": (0.0979, 17.41)},
    "CARE": {
        "C3": ((0.5592, 0.0403), (21.96, 0.48)),
        "C2": ((0.5971, 0.0705), (22.55, 1.14)),
        "C1": ((0.6067, 0.0216), (23.66, 0.26)),
        "Avg": (0.5877, 22.72),
    },
    "GVTNet": {
        "C3": ((0.5908, 0.0465), (22.36, 0.43)),
        "C2": ((0.6954, 0.0248), (24.28, 0.38)),
        "C1": ((0.7511, 0.0257), (25.81, 0.33)),
        "Avg": (0.6791, 24.15),
    },
    "AEANet": {
        "C3": ((0.6008, 0.0452), (22.50, 0.43)),
        "C2": ((0.7074, 0.0305), (24.54, 0.41)),
        "C1": ((0.7600, 0.0195), (26.03, 0.31)),
        "Avg": (0.6894, 24.36),
    },
}

# Table IV: Dice ratios, a mean and a deviation over the subjects that are left out in turn.
TABLE4 = {
    "CC-3D-FCN": {
        "CSF": (0.9250, 0.0118),
        "GM": (0.9084, 0.0056),
        "WM": (0.8926, 0.0119),
        "Avg.": (0.9087, 0.0066),
    },
    "Non-local U-Net": {
        "CSF": (0.9530, 0.0074),
        "GM": (0.9245, 0.0049),
        "WM": (0.9102, 0.0101),
        "Avg.": (0.9292, 0.0050),
    },
    "AEANet": {
        "CSF": (0.9556, 0.0062),
        "GM": (0.9279, 0.0052),
        "WM": (0.9136, 0.0117),
        "Avg.": (0.9324, 0.0052),
    },
}

# Table V: mean absolute errors.
TABLE5 = {
    "Self-attention": {"Rot. 90": 0.01529, "Rot. 180": 0.02035, "Rot. 270": 0.01518, "Transpose": 0.00810},
    "Learned query": {"Rot. 90": 0.01322, "Rot. 180": 0.01757, "Rot. 270": 0.01369, "Transpose": 0.00712},
    "AEA block": {"Rot. 90": 0.01351, "Rot. 180": 0.01689, "Rot. 270": 0.01358, "Transpose": 0.00506},
}

# Table VI: as table I.
TABLE6 = {
    "RCAN": TABLE1["RCAN"],
    "U-Net": TABLE1["U-Net"],
    "GVTNet": TABLE1["GVTNet"],
    "References only": (2.04, None, 0.085),
    "Batch-aware only": (1.96, None, 0.084),
    "Both, 16 references": (1.98, None, 0.085),
    "Both, 32 references": (2.02, None, 0.085),
    "Both, 64 references": TABLE1["AEANet"],
}

# Improvement in PSNR (dB) by the size of the patches that are predicted, as the authors' notebook prints it; it has
# nothing for 32 references and 128 pixels.
FIGURE9 = {
    "AEANet (16)": {"full": 2.017, "512": 1.983, "384": 1.857, "256": 1.690, "128": 1.298},
    "AEANet (32)": {"full": 2.016, "512": 1.988, "384": 1.942, "256": 1.797},
    "AEANet (64)": {"full": 2.099, "512": 1.992, "384": 1.894, "256": 1.840, "128": 1.303},
}


# SSAN paper. Tables 1, 3 and 4: data set -> scores; the interpolation error of CREMI A and B is not published.
def _ssan(a, b, c, mouse):
    """Rows of these tables: (PSNR, SSIM) of CREMI A and B, (PSNR, SSIM, IE) of CREMI C and the mouse brain."""
    of_set = {"CREMI A": a, "CREMI B": b, "CREMI C": c, "mouse": mouse}
    return {name: dict(zip(("psnr", "ssim", "ie"), values, strict=False)) for name, values in of_set.items()}


_SSAN = _ssan((18.26, 0.4374), (16.79, 0.3712), (16.46, 0.3575, 28.38), (15.04, 0.2156, 34.81))
SSAN_TABLE1 = {
    "U-Net": _ssan((18.10, 0.4295), (16.75, 0.3549), (16.26, 0.3542, 28.82), (14.59, 0.2219, 36.55)),
    "SU-Net": _ssan((18.12, 0.4352), (16.71, 0.3417), (16.18, 0.3280, 29.71), (14.75, 0.2089, 35.99)),
    "RDN": _ssan((17.73, 0.4448), (16.59, 0.3521), (16.44, 0.3451, 28.75), (14.85, 0.2195, 35.53)),
    "SSAN": _SSAN,
}
SSAN_TABLE3 = {
    "KEL": _ssan((17.59, 0.4354), (15.88, 0.3415), (16.08, 0.3506, 30.82), (13.46, 0.1867, 42.62)),
    "SSA, one level": _ssan((18.12, 0.4292), (16.41, 0.3425), (16.33, 0.3357, 28.91), (14.86, 0.2261, 35.41)),
    "SSAN": _SSAN,
}
SSAN_TABLE4 = {
    "SepConv": _ssan((17.52, 0.4095), (16.32, 0.3522), (16.07, 0.3454, 29.82), (12.56, 0.1573, 48.03)),
    "DAIN": _ssan((16.78, 0.4264), (15.67, 0.3460), (15.24, 0.3210, 33.59), (13.06, 0.1973, 44.26)),
    "SSAN": _SSAN,
}

# Table 2: features of 1 x 512 x 512 x 64 on one P40 GPU: GB of memory, GFLOPs, millions of parameters, milliseconds.
SSAN_TABLE2 = {
    "Kernel estimation layer": {"flops": 138.4, "time": 6160},
    "Self-attention, dense": {"memory": 256.0, "flops": 6599, "parameters": 0.0052},
    "SSA, one level": {"memory": 9.775, "flops": 81.24, "parameters": 0.0104, "time": 327},
    "AAL, two levels": {"memory": 2.331, "flops": 10.42, "parameters": 0.0156, "time": 275},
}

# Table 5: Dice ratio and F1 score of the membranes in an interpolated slice.
SSAN_TABLE5 = {
    "SepConv": {"CREMI A": (0.547, 0.546), "CREMI B": (0.425, 0.426), "CREMI C": (0.458, 0.458)},
    "DAIN": {"CREMI A": (0.560, 0.563), "CREMI B": (0.340, 0.342), "CREMI C": (0.384, 0.388)},
    "SSAN": {"CREMI A": (0.602, 0.602), "CREMI B": (0.435, 0.435), "CREMI C": (0.465, 0.467)},
}

# GVTNet paper, section 2.2: trainable parameters, and seconds of the prediction of one image on its GPU.
LABEL_FREE_COSTS = {
    "U-Net": {"parameters": 23_280_769, "seconds": 1},
    "GVTNet": {"parameters": 6_172_225, "seconds": 0.4},
}
