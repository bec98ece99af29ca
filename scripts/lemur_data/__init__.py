"""Files that travel in the package, made from the pinned LEMUR."""
