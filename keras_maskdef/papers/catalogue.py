"""All recipes by name."""

from keras_maskdef.papers import mad, sfm
from keras_maskdef.papers.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (*mad.RECIPES, *sfm.RECIPES)
}


def find(name: str) -> Recipe:
    """Finds a recipe by name.

    Raises:
        ValueError: For an unknown name; the message lists all names.
    """
    if name not in RECIPES:
        raise ValueError(
            f"`recipe` must be one of {', '.join(RECIPES)}. Received: recipe={name!r}"
        )
    return RECIPES[name]
