"""The napari plugin: restore a layer, train on layers or folders, export; what it does is in modules without Qt."""
