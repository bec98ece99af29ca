"""Tables of the LEMUR mirror."""
