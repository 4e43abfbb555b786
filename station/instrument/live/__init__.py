"""The live picture of an instrument in a browser of the same machine."""
