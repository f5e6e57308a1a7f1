"""What layers have in common that look at a whole image through its moments: attention, and pooling over the image."""


class TakesContext:
    """Base of layers whose output depends on all positions of the image through `Moments` alone.

    Called with ``context``, moments of the whole image, such a layer uses those in place of the moments of what it is
    given, which may then be a tile. ``context_moments(x)`` gives, in prediction, what ``x`` adds to the context.
    """

    def context_moments(self, x):
        raise NotImplementedError
