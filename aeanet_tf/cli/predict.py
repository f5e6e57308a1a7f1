"""``aeanet predict``: restore images with a trained model."""


def add_parser(subparsers):
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "predict",
        help="restore images with a trained model",
        description="Restore images and write ImageJ-compatible float32 tifs of the same names; axes and pixel size "
        "are kept. Images are normalised as in training.",
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="model folder")
    parser.add_argument("--input", required=True, nargs="+", metavar="PATH", help="files, folders or quoted patterns")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the predictions")
    parser.add_argument("--axes", help="axes of the files, such as ZYX (default: as each file states)")
    parser.add_argument(
        "--n-tiles", type=int, nargs="+", metavar="N", help="tiles along each axis of the images (default: whole)"
    )
    parser.add_argument(
        "--tiling",
        choices=("exact", "overlap", "whole"),
        default="exact",
        help="exact (default): tiles share the attention of the whole image; overlap: each has its own, as in CSBDeep; "
        "whole: no tiles",
    )
    parser.add_argument(
        "--percentiles", type=float, nargs=2, metavar=("LOW", "HIGH"), help="normalise by these, not as in training"
    )
    parser.add_argument("--scale", action="store_true", help="also write the scale of a probabilistic model")
    parser.set_defaults(run=run)


def run(args):
    """Predict; see `aeanet_tf.models.predict_files.predict_files`."""
    from aeanet_tf.data.images import check_axes, find_images
    from aeanet_tf.errors import InputError
    from aeanet_tf.models.folder import load_model, prediction_normalization
    from aeanet_tf.models.run_config import NormalizationSection
    from aeanet_tf.startup import load_backend

    if args.n_tiles is not None and min(args.n_tiles) < 1:
        raise InputError(f"--n-tiles: {args.n_tiles}, expected numbers of at least 1")
    axes = None if args.axes is None else check_axes(args.axes)
    # Before TensorFlow is loaded: most mistakes are in the paths.
    find_images(args.input)
    if args.percentiles is None:
        normalization = prediction_normalization(args.model)
    else:
        low, high = args.percentiles
        if not 0 <= low < high <= 100:
            raise InputError(f"--percentiles: {low} {high}, expected 0 <= LOW < HIGH <= 100")
        normalization = NormalizationSection(low=low, high=high)
    load_backend()
    model = load_model(args.model)
    from aeanet_tf.models.predict_files import predict_files

    predict_files(model, args.input, args.output, normalization, axes, args.n_tiles, args.scale, args.tiling)
