//! Matrix products in full single precision on every device.

use super::{Indices, Tensor};
use burn::DispatchDevice;
use burn::tensor::DType;

/// 2¹³ + 1: separates the leading 11 of 24 bits (Veltkamp's splitting).
const SPLITTER: f64 = 8193.0;

/// `a · b` over the last two axes, in full single precision; see [`Factor`].
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    Factor::new(b).product(a)
}

/// The right factor of matrix products, made ready once for many of them.
///
/// Accelerators round the factors of f32 products to the 11 bits of TensorFloat-32 (cubek-matmul 0.2 does so
/// wherever it takes the tensor cores), which is 5·10⁻⁴ in a flux measured to 10⁻³. There each factor is
/// split into a leading and a trailing part, and three products of parts restore single precision (Markidis
/// et al. 2018, "NVIDIA tensor core programmability", sec. V).
#[derive(Debug, Clone)]
pub struct Factor<const D: usize> {
    /// The factor, or its leading part.
    matrix: Tensor<D>,
    /// The trailing part, where products are split.
    rest: Option<Tensor<D>>,
}

impl<const D: usize> Factor<D> {
    pub fn new(matrix: Tensor<D>) -> Self {
        let splits = matrix.dtype() == DType::F32 && is_accelerator(&matrix.device());
        if splits { Self::split(matrix) } else { Self { matrix, rest: None } }
    }

    fn split(matrix: Tensor<D>) -> Self {
        let (matrix, rest) = split(matrix);
        Self { matrix, rest: Some(rest) }
    }

    /// Length of every axis.
    pub fn dims(&self) -> [usize; D] {
        self.matrix.dims()
    }

    /// `a ·` this over the last two axes. The product of the trailing parts is below the rounding of the sum.
    pub fn product(&self, a: Tensor<D>) -> Tensor<D> {
        let matrix = self.matrix.clone();
        match &self.rest {
            None => a.matmul(matrix),
            Some(rest) => {
                let (a, a_rest) = split(a);
                a.clone().matmul(matrix.clone()) + (a.matmul(rest.clone()) + a_rest.matmul(matrix))
            }
        }
    }

    /// The given positions along the first axis.
    pub fn select(&self, positions: &Indices) -> Self {
        let select = |tensor: &Tensor<D>| tensor.clone().select(0, positions.clone());
        Self { matrix: select(&self.matrix), rest: self.rest.as_ref().map(select) }
    }
}

fn is_accelerator(device: &DispatchDevice) -> bool {
    match device {
        DispatchDevice::Autodiff(device) => is_accelerator(device),
        device => !matches!(device, DispatchDevice::Flex(_)),
    }
}

/// Leading 11 bits and the rest, exactly. Each operation is a kernel of its own, so that no compiler
/// contracts the differences.
fn split<const D: usize>(x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
    let shifted = x.clone() * SPLITTER;
    let leading = shifted.clone() - (shifted - x.clone());
    (leading.clone(), x - leading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Device, to_f64};

    #[test]
    fn parts_fit_the_tensor_cores_and_their_products_give_single_precision() {
        let device = Device::cpu();
        let values = |seed: f64| (0..400).map(|i| (seed * f64::from(i)).sin() * 3.0).collect::<Vec<_>>();
        let (a, b) = (device.tensor(&values(0.7), [20, 20]), device.tensor(&values(1.3), [20, 20]));
        let (leading, rest) = split(a.clone());
        let sum: Vec<f64> = to_f64(leading.clone()).iter().zip(to_f64(rest.clone())).map(|(x, y)| x + y).collect();
        assert_eq!(sum, to_f64(a.clone()));
        // 11 bits: thirteen of the 23 stored ones are zero.
        assert!(to_f64(leading).iter().all(|x| (*x as f32).to_bits() & 0x1FFF == 0));
        assert!(to_f64(rest).iter().zip(to_f64(a.clone())).all(|(rest, x)| rest.abs() <= x.abs() * 2.0_f64.powi(-11)));
        let difference = to_f64(Factor::split(b.clone()).product(a.clone()) - matmul(a, b));
        let largest = difference.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        assert!(largest < 2e-5, "{largest}");
    }
}
