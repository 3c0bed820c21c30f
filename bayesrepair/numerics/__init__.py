"""Arrays in, arrays out: the numerical methods, without models or rows."""
