"""The whole way from an image to a reviewed karyotype proposal."""
