"""Theia Level-2A products in MUSCATE format, as MAJA makes them: one GeoTIFF per band, bit masks, one metadata file.

Names, groups, quantification and bits follow "SENTINEL-2A L2A Products Description" (CNES, PSC-NT-411-0362-CNES,
issue 1.0) and the pages on the format by CESBIO; Landsat products of the same form differ in the names of their bands
and in having one group of resolution. Two modules, because each source looks for its own products:
``sentinel2`` and ``landsat``.
"""
