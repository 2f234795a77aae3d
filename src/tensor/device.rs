//! Where tensors live and in which precision.

use super::{Indices, Tensor};
use crate::error::{Error, Result};
use burn::DispatchDevice;
use burn::tensor::{DType, TensorData};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Precision of the floats on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats, the working precision.
    #[default]
    Single,
    /// 64-bit floats, for derivative checks and audits.
    Double,
}

/// A device, its precision, and whether operations on it are taped for reverse-mode differentiation.
#[derive(Clone)]
pub struct Device {
    plain: DispatchDevice,
    precision: Precision,
    taped: bool,
    name: String,
}

impl Device {
    /// The processor, in single precision.
    pub fn cpu() -> Self {
        Self { plain: DispatchDevice::Flex(Default::default()), precision: Precision::Single, taped: false, name: "cpu".into() }
    }

    /// The device of that name: `cpu`, `cuda` or `cuda:1`.
    ///
    /// # Errors
    /// When the name is unknown, the program was built without CUDA, or the machine has no such device.
    pub fn named(name: &str) -> Result<Self> {
        match name.split_once(':').map_or((name, "0"), |(kind, index)| (kind, index)) {
            ("cpu", "0") => Ok(Self::cpu()),
            ("cuda", index) => cuda(name, index.parse().ok()),
            _ => Err(Error::usage(format!("device '{name}'"))
                .found("an unknown device")
                .expected("cpu, cuda or cuda:<index>")
                .remedy("Choose one with --device.")),
        }
    }

    /// The same device in another precision.
    pub fn with_precision(&self, precision: Precision) -> Self {
        Self { precision, ..self.clone() }
    }

    /// The same device with a tape: tensors made on it can be differentiated in reverse mode.
    pub fn taped(&self) -> Self {
        Self { taped: true, ..self.clone() }
    }

    /// The same device without a tape.
    pub fn untaped(&self) -> Self {
        Self { taped: false, ..self.clone() }
    }

    /// Whether operations on this device are taped.
    pub fn is_taped(&self) -> bool {
        self.taped
    }

    /// The precision of the floats made on this device.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// A tensor from f64 values in row-major order, rounded to the device's precision.
    ///
    /// # Panics
    /// When the number of values is not the product of `shape` (a programming error).
    pub fn tensor<const D: usize>(&self, values: &[f64], shape: [usize; D]) -> Tensor<D> {
        match self.precision {
            Precision::Double => self.tensor_of(TensorData::new(values.to_vec(), shape)),
            Precision::Single => self.tensor_of(TensorData::new(values.iter().map(|&value| value as f32).collect(), shape)),
        }
    }

    /// A tensor from f32 values in row-major order.
    ///
    /// # Panics
    /// When the number of values is not the product of `shape` (a programming error).
    pub fn tensor_f32<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        match self.precision {
            Precision::Single => self.tensor_of(TensorData::new(values, shape)),
            Precision::Double => self.tensor_of(TensorData::new(values.iter().map(|&v| v as f64).collect(), shape)),
        }
    }

    /// A tensor of zeros.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        Tensor::zeros(shape, (&self.dispatch(), self.dtype()))
    }

    /// Positions along an axis.
    pub fn indices(&self, positions: &[usize]) -> Indices {
        let positions: Vec<i64> = positions.iter().map(|&position| position as i64).collect();
        let shape = [positions.len()];
        Indices::from_data(TensorData::new(positions, shape), &self.dispatch())
    }

    /// Whether it is the processor.
    pub fn is_cpu(&self) -> bool {
        matches!(self.plain, DispatchDevice::Flex(_))
    }

    /// Values as numbers of the device's precision have them.
    pub fn rounded(&self, values: &[f64]) -> Vec<f64> {
        match self.precision {
            Precision::Single => values.iter().map(|&value| f64::from(value as f32)).collect(),
            Precision::Double => values.to_vec(),
        }
    }

    pub(super) fn dispatch(&self) -> DispatchDevice {
        if self.taped { DispatchDevice::autodiff(self.plain.clone()) } else { self.plain.clone() }
    }

    fn tensor_of<const D: usize>(&self, data: TensorData) -> Tensor<D> {
        Tensor::from_data(data, (&self.dispatch(), self.dtype()))
    }

    fn dtype(&self) -> DType {
        match self.precision {
            Precision::Single => DType::F32,
            Precision::Double => DType::F64,
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taped = if self.taped { ", taped" } else { "" };
        write!(formatter, "Device({}, {:?}{taped})", self.name, self.precision)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str, _index: Option<usize>) -> Result<Device> {
    Err(Error::device(format!("device '{name}'"))
        .found("a program built without CUDA")
        .remedy("Build it with `cargo build --release --features cuda`, or use --device cpu."))
}

/// burn-cuda panics at first use without a driver, so the driver's device files are looked for first.
#[cfg(feature = "cuda")]
fn cuda(name: &str, index: Option<usize>) -> Result<Device> {
    let Some(index) = index else {
        return Err(Error::usage(format!("device '{name}'"))
            .expected("cuda or cuda:<index>")
            .remedy("Write cuda:0 for the first device."));
    };
    let n_devices = (0..64).take_while(|i| std::path::Path::new(&format!("/dev/nvidia{i}")).exists()).count();
    if index >= n_devices {
        return Err(Error::device(format!("device '{name}'"))
            .found(format!("{n_devices} CUDA devices on this machine"))
            .expected(format!("at least {}", index + 1))
            .remedy("Install the NVIDIA driver, choose another index, or use --device cpu."));
    }
    keep_compiled_kernels();
    let plain = DispatchDevice::Cuda(burn::backend::cuda::CudaDevice { index });
    Ok(Device { plain, precision: Precision::Single, taped: false, name: name.into() })
}

/// Has compiled kernels kept in the user's cache folder: compiling those of a fit takes a minute of processor
/// time, in every process. A `cubecl.toml` of the user's own decides otherwise where it names a cache.
#[cfg(feature = "cuda")]
fn keep_compiled_kernels() {
    use cubecl_common::config::RuntimeConfig;
    use cubecl_runtime::config::{CubeClRuntimeConfig, cache::CacheConfig};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // An empty or relative path is none (XDG Base Directory Specification).
        let folder_of = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from).filter(|path| path.is_absolute());
        let folder = folder_of("XDG_CACHE_HOME").or_else(|| folder_of("HOME").map(|home| home.join(".cache")));
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        if let (None, Some(folder)) = (&config.compilation.cache, folder) {
            config.compilation.cache = Some(CacheConfig::File(folder.join("photosphere")));
        }
        let mut state = CubeClRuntimeConfig::storage().lock();
        // A program that used the library before has its settings already.
        if state.is_none() {
            *state = Some(std::sync::Arc::new(config));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_absent_devices_are_named_in_the_error() {
        let unknown = Device::named("tpu").unwrap_err();
        assert!(unknown.to_string().contains("tpu") && unknown.exit_code() == 2);
        let absent = Device::named("cuda:63").unwrap_err();
        assert!(absent.to_string().contains("cuda:63") && absent.to_string().contains("--device cpu"));
    }

    #[test]
    fn double_precision_keeps_all_digits() {
        let device = Device::cpu().with_precision(Precision::Double);
        let value = 1.0 + 1e-12;
        assert_eq!(super::super::to_f64(device.tensor(&[value], [1])), vec![value]);
    }
}
