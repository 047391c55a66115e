"""A plain script for one known file, as a colleague writes it in an hour: pandas and geopandas, nothing checked."""

from __future__ import annotations

import geopandas as gpd
import pandas as pd
from contestant import Request, contest

NAMES = {
    "Total nitrogen": ("tn", 1.0, "mg L-1"),
    "Total phosphorus": ("tp", 0.001, "mg L-1"),
    "Chlorophyll a": ("chlorophyll_a", 1.0, "ug L-1"),
    "Water temperature": ("water_temperature", 1.0, "degC"),
}


def table(request: Request) -> None:
    """Read, convert, and write one GeoParquet file per variable and year."""
    found = pd.read_csv(request.folder / "lakes.csv", dtype={"Result": "string", "Station": "string"})
    local = pd.to_datetime(found["Sampled"], format="%d.%m.%Y %H:%M")
    found["time"] = local.dt.tz_localize("Europe/Rome").dt.tz_convert("UTC")
    found["original_value"] = found["Result"]
    found["censored"] = found["Result"].str.startswith("<").fillna(False).map({True: "<", False: ""})
    found["variable"] = found["Parameter"].map({name: told[0] for name, told in NAMES.items()})
    factor = found["Parameter"].map({name: told[1] for name, told in NAMES.items()})
    found["value"] = pd.to_numeric(found["Result"].str.lstrip("<")).astype("float64") * factor
    found["unit"] = found["Parameter"].map({name: told[2] for name, told in NAMES.items()})
    kept = found.rename(columns={"Station": "station", "Longitude": "lon", "Latitude": "lat", "Depth": "depth"})
    kept = kept.drop(columns=["Sampled", "Parameter", "Result"]).sort_values(["variable", "station", "time"])
    places = gpd.GeoDataFrame(kept, geometry=gpd.points_from_xy(kept["lon"], kept["lat"]), crs="EPSG:4326")
    for (variable, year), rows in places.groupby(["variable", places["time"].dt.year]):
        folder = request.out / "table" / f"variable={variable}" / f"year={year}"
        folder.mkdir(parents=True)
        rows.drop(columns="variable").to_parquet(folder / "part.parquet", index=False)


if __name__ == "__main__":
    contest("pandas", {"table": table}, ("pandas", "geopandas", "pyarrow"))
