"""Files of spectra, gradient libraries and pixel networks for the scripts here: safetensors and observation files, with numpy and
pyarrow alone."""

import json
import struct
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LABELS = "teff logg v_mic feh c_fe n_fe o_fe mg_fe al_fe si_fe ca_fe ti_fe cr_fe mn_fe ni_fe".split()
UNITS = ["K", "", "km.s**-1"] + 12 * [""]
TYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "U8": "u1"}
# Below it the model atmospheres of the synthesis are doubtful.
LEAST_QUALITY = 0.006


def read_tensors(path):
    """Arrays and metadata of a safetensors file."""
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + n])
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        first, last = (8 + n + offset for offset in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[first:last], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays, metadata


def write_tensors(path, arrays, metadata):
    names = {"f8": "F64", "f4": "F32"}
    header, parts, offset = {"__metadata__": metadata}, [], 0
    for name, array in arrays.items():
        part = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": names[array.dtype.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(part)],
        }
        offset += len(part)
        parts.append(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def write_library(path, library, names, wavelength):
    """A gradient library: `library` has labels [N, L], flux [N, W], gradient [N, L, W]."""
    arrays = {
        "labels": library["labels"].astype("<f8"),
        "wavelength": np.asarray(wavelength, "<f8"),
        "flux": library["flux"].astype("<f4"),
        "gradient": library["gradient"].astype("<f4"),
    }
    metadata = {
        "label_names": ",".join(names),
        "label_units": ",".join(UNITS[LABELS.index(name)] or "dex" for name in names),
        "wavelength": "vacuum angstrom",
        "resolution": "1800 (FWHM, Gaussian)",
    }
    write_tensors(path, arrays, metadata)


def write_observations(path, ids, labels, names, wavelength, flux, error, truth=False, bands=None):
    """An observation file of normalised spectra; the labels are measured ones, or with `truth` columns true_*. A model fits spectra
    whose pixels have the names (`bands`) of its training."""
    columns, fields = {"source_id": pa.array(ids, pa.int64())}, {}
    for name, values in (("flux", flux), ("flux_error", error)):
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(values).astype("f4")), values.shape[1])
    for k, name in enumerate(names):
        column = f"true_{name}" if truth else name
        columns[column] = pa.array(labels[:, k])
        fields[column] = UNITS[LABELS.index(name)] or "dex"
        if not truth:
            columns[f"{name}_error"] = pa.array(np.full(len(ids), 1e-3))
            fields[f"{name}_error"] = fields[column]
    metadata = {
        "wavelengths": json.dumps((np.asarray(wavelength) / 10).tolist()),
        "bands": json.dumps(bands or [f"pixel_{i}" for i in range(len(wavelength))]),
        "flux_unit": "",
        "wavelength_medium": "vacuum",
    }
    table = pa.table(columns)
    schema = pa.schema(
        [
            field.with_metadata({"unit": fields[field.name]}) if field.name in fields else field
            for field in table.schema
        ],
        metadata=metadata,
    )
    pq.write_table(table.cast(schema), path)


def column(table, name):
    return table[name].to_numpy(zero_copy_only=False).astype(float)


def columns(table, names):
    return np.stack([column(table, name) for name in names], axis=1)


def run(*arguments):
    """Runs the program; its log is shown where it fails."""
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))}\n{done.stderr}")


class LabelModel:
    """What models of spectra have in common: arrays, labels and their ranges, in double precision: independent of the program."""

    def __init__(self, path):
        arrays, self.metadata = read_tensors(path)
        self.arrays = {name: array.astype(float) for name, array in arrays.items()}
        self.names = self.metadata["label_names"].split(",")
        self.minimum, self.maximum = self.arrays["minimum"], self.arrays["maximum"]
        self.width = self.maximum - self.minimum

    def scaled(self, labels):
        return (labels - self.minimum) / self.width - 0.5


class Networks(LabelModel):
    """Networks of one hidden layer with tanh."""

    def __init__(self, path):
        super().__init__(path)
        assert self.metadata["activation"] == "tanh" and "w2" not in self.arrays

    def hidden(self, labels):
        return np.tanh(np.einsum("whl,l->wh", self.arrays["w0"], self.scaled(labels)) + self.arrays["b0"])

    def flux(self, labels):
        """[N, W] at labels [N, L]."""
        return np.array([(self.hidden(l) * self.arrays["w1"]).sum(1) + self.arrays["b1"] for l in labels])

    def gradient(self, labels):
        """[N, L, W], per unit of the label."""
        outputs = [(1 - self.hidden(l) ** 2) * self.arrays["w1"] for l in labels]
        return np.array([np.einsum("wh,whl->lw", output, self.arrays["w0"]) / self.width[:, None] for output in outputs])


class Polynomials(LabelModel):
    """Structured polynomials."""

    def __init__(self, path):
        super().__init__(path)
        self.coefficients, self.powers = self.arrays["coefficients"], self.arrays["powers"].astype(int)

    def flux(self, labels):
        """[N, W] at labels [N, L]."""
        return (self.scaled(labels)[:, None, :] ** self.powers).prod(2) @ self.coefficients.T

    def gradient(self, labels):
        """[N, L, W], per unit of the label."""
        x, found = self.scaled(labels), []
        for k in range(len(self.names)):
            lower = self.powers.copy()
            lower[:, k] = np.maximum(lower[:, k] - 1, 0)
            found.append((self.powers[:, k] * (x[:, None, :] ** lower).prod(2)) @ self.coefficients.T)
        return np.stack(found, axis=1) / self.width[:, None]


class JointNetwork(LabelModel):
    """One network for all pixels, hidden layers with a sigmoid."""

    def __init__(self, path):
        super().__init__(path)
        assert self.metadata["activation"] == "sigmoid"
        n = sum(name[0] == "w" and name[1:].isdigit() for name in self.arrays)
        self.layers = [(self.arrays[f"w{i}"], self.arrays[f"b{i}"]) for i in range(n)]

    def values(self, label):
        """Flux [W] and its gradient [L, W] at labels [L]."""
        value, slopes = self.scaled(label), np.diag(1 / self.width)
        for index, (kernel, bias) in enumerate(self.layers):
            value, slopes = kernel @ value + bias, slopes @ kernel.T
            if index + 1 < len(self.layers):
                value = 1 / (1 + np.exp(-value))
                slopes = slopes * (value * (1 - value))
        return value, slopes

    def flux(self, labels):
        """[N, W] at labels [N, L]."""
        return np.array([self.values(label)[0] for label in labels])

    def gradient(self, labels):
        """[N, L, W], per unit of the label."""
        return np.array([self.values(label)[1] for label in labels])


def bounds(gradient, ratio=100.0):
    """Cramer-Rao bounds [N, L] of gradients [N, L, W] at a signal-to-noise ratio of a pixel."""
    found = []
    for one in gradient.astype(float):
        scale = np.sqrt((one**2).sum(1)) + 1e-300
        matrix = (one / scale[:, None]) @ (one / scale[:, None]).T
        found.append(np.sqrt(np.diag(np.linalg.pinv(matrix, rcond=1e-12))) / scale / ratio)
    return np.array(found)


def agreement(found, truth):
    """Correlation and amplitude of gradients."""
    product = (found * truth).sum()
    return product / np.sqrt((found**2).sum() * (truth**2).sum()), product / (truth**2).sum()


def response(estimate, truth, others, natural, natural_others):
    """b and c of estimate = a + b truth + c (what the other labels predict), and the standard deviation of the prediction."""
    design = lambda values: np.column_stack([np.ones(len(values)), values])
    coefficients = np.linalg.lstsq(design(natural_others), natural, rcond=None)[0]
    predicted = design(others) @ coefficients
    regressors = np.column_stack([np.ones(len(truth)), truth, predicted])
    found = np.linalg.lstsq(regressors, estimate, rcond=None)[0]
    return found[1], found[2], predicted.std()


def robust_scatter(values):
    values = values[np.isfinite(values)]
    return 1.4826 * np.median(np.abs(values - np.median(values)))
