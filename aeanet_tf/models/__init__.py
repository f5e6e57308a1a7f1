"""Models as CARE users know them: a configuration, a folder, ``train`` and ``predict`` on arrays."""

_LAZY = {
    "AEANet": "aeanet_tf.models.aeanet",
    "AEANetConfig": "aeanet_tf.models.config",
    "CARENet": "aeanet_tf.models.care_net",
    "CARENetConfig": "aeanet_tf.models.care_net",
    "Ensemble": "aeanet_tf.models.ensemble",
    "IsotropicAEANet": "aeanet_tf.models.isotropic",
    "IsotropicCARENet": "aeanet_tf.models.isotropic",
    "ProjectionAEANet": "aeanet_tf.models.projection",
    "ProjectionAEANetConfig": "aeanet_tf.models.sibling_configs",
    "SegmentationAEANet": "aeanet_tf.models.segmentation",
    "SegmentationAEANetConfig": "aeanet_tf.models.sibling_configs",
    "SliceInterpolationConfig": "aeanet_tf.models.sibling_configs",
    "SliceInterpolationNet": "aeanet_tf.models.slice_interpolation",
    "UpsamplingAEANet": "aeanet_tf.models.isotropic",
    "UpsamplingCARENet": "aeanet_tf.models.isotropic",
}

__all__ = [*_LAZY]

# What CSBDeep imports by name for functions that few calls use; it takes half a second and more.
_OF_SCIPY = {"scipy.ndimage": ("maximum_filter", "zoom"), "scipy.stats": ("laplace",)}


def __getattr__(name):
    # TensorFlow and CSBDeep take seconds to import; run configurations beside them are read without.
    if name in _LAZY:
        import importlib

        from aeanet_tf.startup import deferred, load_backend

        load_backend()
        with deferred(_OF_SCIPY):
            import csbdeep.models  # noqa: F401
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
