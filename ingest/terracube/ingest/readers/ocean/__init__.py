"""Water colour of OLCI: SEN3 products, whose swaths are gridded, and cubes and granules of C2RCC."""
