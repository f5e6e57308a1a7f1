"""Small data sets in exactly the form in which their owners ship the real ones: for readers, and to train on.

All functions make the folder they are given, write the same files every time for one ``seed``, and take seconds.
"""

import csv
import importlib.util
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter, zoom

EM_SIZE = (960, 1280)
EM_ROWS = 944


def write_care(folder, projection=False, form="stacked", images=2, size=(16, 48, 48), patches=32, seed=0):
    """A data set of CARE: ``train_data/data.npz`` and ``test_data``; denoising of volumes, or a projection.

    Args:
        folder: of the data set.
        projection: as flywing: the ground truth is a plane, ``Y`` has size 1 along z.
        form: of the test images: "stacked" (C3, C2, C1, GT in one TIFF; the plane of a projection repeated along z)
            or "folders" (``condition_1`` to ``condition_3`` and ``GT``, a projection's as a plane).
        images: number of test images, named ``img_0``, ``img_1``, ...
        size: ZYX of the test images.
        patches: number of training patches, 16 x 32 x 32 (the target of a projection 1 x 32 x 32), axes SCZYX.

    Returns:
        name -> (conditions C1, C2, C3 and GT by name), the arrays that were written, GT as `CareTestImage` gives it.
    """
    folder, rng = Path(folder), np.random.default_rng(seed)
    train, test = folder / "train_data", folder / "test_data"
    train.mkdir(parents=True)
    pairs = [_care_sample((16, 32, 32), projection, rng) for _ in range(patches)]
    x = np.stack([conditions["C1"] for conditions in pairs])[:, None].astype("float32") / 2000
    y = np.stack([conditions["GT"] for conditions in pairs]).reshape(patches, 1, -1, 32, 32).astype("float32") / 2000
    np.savez(train / "data.npz", X=x, Y=y, axes="SCZYX")
    written = {}
    for number in range(images):
        name, sample = f"img_{number}", _care_sample(size, projection, rng)
        written[name] = sample
        if form == "stacked":
            test.mkdir(exist_ok=True)
            stack = [sample[c] for c in ("C3", "C2", "C1")] + [np.broadcast_to(sample["GT"], size)]
            tifffile.imwrite(test / f"{name}.tif", np.stack(stack))
        else:
            for condition, place in {f"C{i}": f"condition_{i}" for i in (1, 2, 3)}.items() | {("GT", "GT")}:
                (test / place).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(test / place / f"{name}.tif", sample[condition])
    return written


def _care_sample(size, projection, rng):
    """uint16 arrays by condition."""
    if projection:
        plane = _blobs(size[1:], 1.5, rng)
        height = (size[0] - 1) * (0.3 + 0.4 * _blobs(size[1:], 8, rng))
        clean = plane * np.exp(-(((np.arange(size[0])[:, None, None] - height) / 1.2) ** 2))
        gt = plane
    else:
        gt = clean = _blobs(size, 1.5, rng)
    photons = {"C1": 60, "C2": 20, "C3": 5}
    sample = {name: rng.poisson(n * clean + 1) * (1500 // n) for name, n in photons.items()}
    sample["GT"] = 100 + 1500 * gt
    return {name: np.asarray(array, np.uint16) for name, array in sample.items()}


def _blobs(size, sigma, rng):
    """Smooth structures between 0 and 1, mostly dark."""
    field = gaussian_filter(rng.standard_normal(size).astype(np.float32), sigma)
    return 1 / (1 + np.exp(-3 * (field / field.std() - 0.7)))


def write_label_free(folder, structures=("dna", "tom20"), train=6, test=2, size=(32, 176, 176), form="tif", seed=0):
    """Label-free data: ``csvs/<structure>/{train,test}.csv`` and the images in ``<structure>``.

    The CSVs name files as the published ones do, ``data/<structure>/<name>``, whatever ``folder`` is called. Each
    file has two channels: 0 the target (fluorescence), 1 the signal (transmitted light).

    Args:
        folder: of the data.
        structures: their names.
        train, test: numbers of images a structure; 0.1 of 6 leaves one for validation.
        size: ZYX. The default is enough for crops of 32 x 64 x 64 after resizing by 0.37241.
        form: "tif" (OME-TIFF, column ``path_tif``) or "czi" (``path_czi``; needs pylibCZIrw).

    Returns:
        (structure, split) -> list of (signal, target), the uint16 arrays that were written.
    """
    folder, written = Path(folder), {}
    for number, structure in enumerate(structures):
        rng = np.random.default_rng([seed, number])
        (folder / structure).mkdir(parents=True)
        table = folder / "csvs" / structure
        table.mkdir(parents=True)
        for split, count in (("train", train), ("test", test)):
            names = [f"{split}_{i:02}" + (".ome.tif" if form == "tif" else ".czi") for i in range(count)]
            pairs = [_label_free_sample(size, rng) for _ in names]
            for name, (signal, target) in zip(names, pairs, strict=True):
                _write_channels(folder / structure / name, np.stack([target, signal]))
            with open(table / f"{split}.csv", "w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow([f"path_{form}", "channel_signal", "channel_target"])
                writer.writerows([f"data/{structure}/{name}", 1, 0] for name in names)
            written[structure, split] = pairs
    return written


def _label_free_sample(size, rng):
    # Coarse, and enlarged: filtering at full size would take most of the time.
    coarse = tuple(-(-n // 4) for n in size)
    target = zoom(_blobs(coarse, 1, rng), 4, order=1)[tuple(slice(n) for n in size)]
    signal = 3000 - 800 * np.gradient(target, axis=2) - 300 * target
    # Repeated along z, since drawing it would take most of the time.
    planes = rng.standard_normal((2, min(4, size[0]), *size[1:]), np.float32)
    noise = planes[:, np.arange(size[0]) % planes.shape[1]]
    return (signal + 20 * noise[0]).astype(np.uint16), (400 + 900 * target + 15 * noise[1]).astype(np.uint16)


def _write_channels(path, channels):
    """Write CZYX."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, channels, ome=True, metadata={"axes": "CZYX"})
        return
    from pylibCZIrw import czi

    with czi.create_czi(str(path)) as document:
        for c, volume in enumerate(channels):
            for z, plane in enumerate(volume):
                document.write(data=plane[..., None], plane={"C": c, "Z": z, "T": 0})


def write_paired_em(folder, pairs=2, unrelated=0, seed=0):
    """Paired EM images: ``sample<i>_10000.bmp`` (low) and ``sample<i>_20000.bmp``, 1280 x 960 with an info bar.

    The high image shows the middle of the low one at twice the magnification, turned, stretched and in perspective by
    a little; both have noise, the low one more of it and less contrast.

    Args:
        folder: of the images.
        pairs: number of pairs.
        unrelated: number of further pairs, named ``unrelated<i>``, that show two different scenes.

    Returns:
        name of a pair -> the homography (3 x 3) from pixels (x, y) of its high image to those of its low one; None
        for unrelated ones.
    """
    folder, rng, written = Path(folder), np.random.default_rng(seed), {}
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(pairs + unrelated):
        related = number < pairs
        name = f"sample{number}" if related else f"unrelated{number - pairs}"
        scene = _em_scene(rng)
        to_scene = _em_view(rng)
        low = gaussian_filter(scene, 0.8)[: 2 * EM_SIZE[0] : 2, : 2 * EM_SIZE[1] : 2]
        high = _sampled(scene if related else _em_scene(rng), to_scene)
        _write_bmp(folder / f"{name}_10000.bmp", 120 + 40 * low, 8, rng)
        _write_bmp(folder / f"{name}_20000.bmp", 128 + 55 * high, 5, rng)
        # The low image has every second pixel of the scene.
        written[name] = np.diag([0.5, 0.5, 1]) @ to_scene if related else None
    return written


def _em_scene(rng):
    """Particles in two sizes, -2 to 2, in the pixels of the high image and over the field of view of the low one."""
    size = (2 * EM_SIZE[0], 2 * EM_SIZE[1])
    fine, coarse = (rng.standard_normal([n // f for n in size], np.float32) for f in (2, 16))
    fields = [zoom(gaussian_filter(field, 1.3), f, order=1) for field, f in ((fine, 2), (coarse, 16))]
    fine, coarse = (field / field.std() for field in fields)
    return np.tanh(3 * (fine - 0.4)) * (1 + np.tanh(2 * coarse)) / 2 + 0.5 * np.tanh(coarse)


def _em_view(rng):
    """A homography from pixels (x, y) of the high image to those of the scene."""
    angle, stretch = rng.uniform(-0.02, 0.02), 1 + rng.uniform(-0.02, 0.02)
    turn = stretch * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = turn + rng.uniform(-0.005, 0.005, (2, 2))
    matrix[2, :2] = rng.uniform(-4e-6, 4e-6, 2)
    middle = np.array([EM_SIZE[1], EM_ROWS]) / 2
    wanted = np.array([EM_SIZE[1], EM_ROWS]) + rng.uniform(-60, 60, 2)
    found = matrix @ [*middle, 1]
    # Perspective makes the last coordinate differ from 1 by a little; the shift is within the margin all the same.
    matrix[:2, 2] = wanted - found[:2]
    return matrix


def _sampled(scene, matrix):
    from scipy.ndimage import map_coordinates

    y, x = np.mgrid[: EM_SIZE[0], : EM_SIZE[1]]
    mapped = matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return map_coordinates(scene, (mapped[:2] / mapped[2])[::-1], order=1).reshape(EM_SIZE)


def _write_bmp(path, image, noise, rng):
    image = image + noise * rng.standard_normal(EM_SIZE, np.float32)
    image = np.clip(image, 0, 255).astype(np.uint8)
    # The bar: black with a scale and letters, alike in all images, as a microscope writes it.
    image[EM_ROWS:] = 0
    image[EM_ROWS + 4 : -4, 40:1000:12] = 255
    imageio.imwrite(path, image)


def write_iseg(folder, subjects=(1, 2), size=(28, 36, 32), seed=0, unlabelled=()):
    """Subjects of iSeg-2017: ``subject-<i>-T1``, ``-T2`` (int16) and ``-label`` (uint8) as Analyze, .hdr and .img.

    As in the published files the shape has a fourth dimension of size 1, the skull is stripped (0 about the brain), and
    labels are 0, 10, 150, 250. Brains are nested ellipsoids, white matter in grey matter in fluid; grey and white
    matter are close in T1, as at six months of age.

    Args:
        folder: of the subjects.
        subjects: their numbers.
        size: ZYX.
        unlabelled: those of ``subjects`` without a label file.

    Returns:
        number -> (T1, T2, labels by class index 0 to 3), arrays ZYX that were written.
    """
    import nibabel

    folder, written = Path(folder), {}
    folder.mkdir(parents=True, exist_ok=True)
    for number in subjects:
        rng = np.random.default_rng([seed, number])
        t1, t2, labels = _brain(size, rng)
        written[number] = t1, t2, labels
        files = {"T1": t1, "T2": t2, "label": np.uint8([0, 10, 150, 250])[labels]}
        for name, array in files.items():
            if name == "label" and number in unlabelled:
                continue
            image = nibabel.AnalyzeImage(array.T[..., None], None)
            image.header.set_zooms((1, 1, 1, 0))
            image.to_filename(folder / f"subject-{number}-{name}.hdr")
    return written


def _brain(size, rng):
    """T1 and T2 (int16) and class indices (uint8): fluid about grey matter about white matter."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij"))
    middle, axes = rng.uniform(-0.06, 0.06, 3), rng.uniform(0.7, 0.85, 3)
    radius = np.sqrt((((grid - middle[:, None, None, None]) / axes[:, None, None, None]) ** 2).sum(axis=0))
    radius += 0.08 * gaussian_filter(rng.standard_normal(size), 2) * 10
    labels = sum((radius < edge).astype(np.uint8) for edge in (1.0, 0.82, 0.55))
    t1, t2 = (
        np.where(labels > 0, np.maximum(np.array(means)[labels] + 18 * rng.standard_normal(size), 1), 0)
        for means in ((0, 180, 330, 390), (0, 760, 480, 400))
    )
    return t1.astype(np.int16), t2.astype(np.int16), labels


def write_mni_subject(folder, number=1, step=2):
    """A subject in the names of iSeg-2017 with real anatomy: the MNI152 template that the package nilearn bundles.

    T1 is the template (skull stripped), T2 the same brain with inverted contrast, and labels are the likeliest of grey
    matter, white matter and the rest of the brain, by nilearn's tissue maps. Files are .nii.gz, since Analyze cannot
    hold the affine of MNI space. nilearn is not imported, only its files are read.

    Args:
        folder: of the subject.
        number: of the subject.
        step: every how many-th voxel of the template of 1 mm is taken: 2 gives 2 mm, 95 x 117 x 99 (ZYX).

    Returns:
        (affine, labels by class index 0 to 3, ZYX), or None where nilearn is not installed.
    """
    import nibabel

    spec = importlib.util.find_spec("nilearn")
    if spec is None:
        return None
    data = Path(spec.origin).parent / "datasets" / "data"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    maps = [nibabel.load(data / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz") for name in ("t1", "gm", "wm")]
    # Every second voxel, the first of them where it was.
    affine = maps[0].affine @ np.diag([step, step, step, 1.0])
    t1, gm, wm = (np.asarray(one.dataobj)[::step, ::step, ::step].astype(np.int16) for one in maps)
    brain = t1 > 0
    labels = np.where(brain, np.argmax([255 - gm - wm, gm, wm], axis=0) + 1, 0).astype(np.uint8)
    files = {
        "T1": t1,
        "T2": np.where(brain, 256 - t1, 0).astype(np.int16),
        "label": np.uint8([0, 10, 150, 250])[labels],
    }
    for name, array in files.items():
        nibabel.Nifti1Image(array, affine).to_filename(folder / f"subject-{number}-{name}.nii.gz")
    return affine, labels.T
