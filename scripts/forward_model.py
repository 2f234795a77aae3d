"""The posterior of a saved model of the standard family in NumPy, double precision: an implementation of its own, for checks.

Used by stars_of_prior.py and posterior_reference.py. Needs numpy and pyarrow. Nothing here shares code with the program: the weights are read from the
directory of the model, and -2 ln P is written out from docs/src/file-formats.md.
"""

import json
import struct
import tomllib
from pathlib import Path

import numpy as np


def read_safetensors(path):
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(body[entry["data_offsets"][0] : entry["data_offsets"][1]], "<f4").reshape(entry["shape"]).astype(float)
        for name, entry in header.items()
    }


class Model:
    """tanh network, ln R without variation, distance; labels, then E, then the parallax."""

    def __init__(self, directory):
        directory = Path(directory)
        self.description = tomllib.loads((directory / "model.toml").read_text(encoding="utf-8"))
        tensors = read_safetensors(directory / "weights.safetensors")
        kinds = [effect["kind"] for effect in self.description["effect"]]
        if kinds != ["emulator", "extinction", "distance"] or self.description["effect"][1].get("variation"):
            raise SystemExit(f"{directory}: effects {kinds}: this script knows emulator, extinction without variation and distance")
        emulator = self.description["effect"][0]
        if emulator.get("skip_connections") or emulator.get("activation", "tanh") != "tanh":
            raise SystemExit(f"{directory}: this script knows tanh networks without skip connections")
        n = len(emulator["hidden"]) + 1
        self.layers = [(tensors[f"emulator.layer_{k}.weight"], tensors[f"emulator.layer_{k}.bias"]) for k in range(n)]
        self.curve = np.exp(tensors["extinction.ln_curve"])
        parameters = self.description["parameter"]
        self.labels = [p for p in parameters if p["is_label"]]
        self.names = [p["name"] for p in parameters]
        self.units = np.array([p["model_units_per_file_unit"] for p in parameters])
        self.centre = np.array([p["centre"] for p in self.labels])
        self.scale = np.array([p["scale"] for p in self.labels])
        ranges = np.array([p["training_range"] for p in self.labels])
        # A search, and a posterior, goes once more as far as the training sample.
        self.limits = np.stack([2 * ranges[:, 0] - ranges[:, 1], 2 * ranges[:, 1] - ranges[:, 0]])
        prior = tomllib.loads((directory / "prior.toml").read_text(encoding="utf-8"))
        self.weights = np.array([c["weight"] for c in prior["components"]])
        self.means = np.array([c["mean"] for c in prior["components"]])
        self.covariances = np.array([c["covariance"] for c in prior["components"]])
        self.precisions = np.linalg.inv(self.covariances)
        n = self.means.shape[1]
        self.amplitudes = np.log(self.weights) - 0.5 * n * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(self.covariances)[1]

    def ln_flux(self, values):
        """ln flux `[..., W]` at model values `[..., P]` (kK, dex, dex, mag, mas)."""
        hidden = (values[..., : len(self.labels)] - self.centre) / self.scale
        for weight, bias in self.layers[:-1]:
            hidden = np.tanh(hidden @ weight + bias)
        weight, bias = self.layers[-1]
        return hidden @ weight + bias - values[..., -2, None] * self.curve + 2 * np.log(values[..., -1, None])

    def ln_prior(self, labels):
        away = labels[..., None, :] - self.means
        terms = self.amplitudes - 0.5 * np.einsum("...ki,kij,...kj->...k", away, self.precisions, away)
        most = terms.max(-1)
        return most + np.log(np.exp(terms - most[..., None]).sum(-1))

    def sample_prior(self, n, random):
        """Labels `[n, L]` of the mixture inside of the limits."""
        found = []
        while sum(map(len, found)) < n:
            k = random.choice(len(self.weights), n, p=self.weights / self.weights.sum())
            factor = np.linalg.cholesky(self.covariances)
            draw = self.means[k] + np.einsum("nij,nj->ni", factor[k], random.standard_normal((n, self.means.shape[1])))
            found.append(draw[((draw > self.limits[0]) & (draw < self.limits[1])).all(1)])
        return np.concatenate(found)[:n]


def triangle(packed, n):
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n)] = packed
    return matrix + np.triu(matrix, 1).T


class Star:
    """ln P of one star in (labels, E, ln parallax), flat in E >= 0 and in the parallax, up to a constant."""

    def __init__(self, model, flux, error, covariance, parallax):
        self.model, self.flux = model, flux
        matrix = np.diag(error**2)
        if covariance is not None:
            matrix[: len(covariance), : len(covariance)] = covariance
        self.use = np.isfinite(flux) & np.isfinite(error)
        matrix = matrix[np.ix_(self.use, self.use)]
        self.whitening = np.linalg.inv(np.linalg.cholesky(matrix))
        self.parallax = parallax

    def ln_posterior(self, points, prior=True):
        """Of `[n, P]` points whose last coordinate is ln parallax; minus infinity where they are impossible."""
        labels, extinction = points[:, : len(self.model.labels)], points[:, -2]
        inside = ((labels >= self.model.limits[0]) & (labels <= self.model.limits[1])).all(1) & (extinction >= 0)
        inside &= np.abs(points[:, -1]) < np.log(1e4)
        result = np.full(len(points), -np.inf)
        if not inside.any():
            return result
        values = points[inside].copy()
        values[:, -1] = np.exp(values[:, -1])
        residual = np.exp(self.model.ln_flux(values))[:, self.use] - self.flux[self.use]
        found = -0.5 * ((residual @ self.whitening.T) ** 2).sum(1)
        found -= 0.5 * ((values[:, -1] - self.parallax[0]) / self.parallax[1]) ** 2
        if prior:
            found += self.model.ln_prior(values[:, : len(self.model.labels)])
        # d parallax = parallax d ln parallax.
        result[inside] = found + points[inside, -1]
        return result


if __name__ == "__main__":
    print(__doc__)
