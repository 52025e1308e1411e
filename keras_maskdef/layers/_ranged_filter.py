"""A filter that is defined on images in [0, 1]."""

from typing import Any

from keras_maskdef.core.value_range import check_value_range, from_unit, to_unit
from keras_maskdef.layers.image_filter import ImageFilter


class RangedFilter(ImageFilter):
    """A filter whose kernel works in [0, 1], for images of any value range.

    Both conversions are inside the function whose gradient is replaced, so a
    straight-through gradient equals that of the identity to the last bit.
    """

    def __init__(
        self,
        gradient: str,
        implementation: str,
        data_format: str | None,
        value_range: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(gradient, implementation, data_format, **kwargs)
        self.value_range = check_value_range(value_range)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value_range": self.value_range}

    def _filtered(self, images: Any) -> Any:
        filtered = super()._filtered(to_unit(images, self.value_range))
        return from_unit(filtered, self.value_range)
