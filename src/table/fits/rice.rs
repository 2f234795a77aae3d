//! The Rice code of integers (FITS 4.0, section 10.4.1; White & Becker): differences of neighbours, in
//! blocks that share a split width.

/// Decodes `n` pixels of `bytes` bytes each, in blocks of `block` pixels.
///
/// # Errors
/// In words, when the code ends early or holds an impossible width.
pub(super) fn decode(packed: &[u8], n: usize, block: usize, bytes: usize) -> Result<Vec<u32>, String> {
    // Bits of a width, the width that stands for plain differences, and bits of these.
    let (width_bits, plain, bits) = match bytes {
        1 => (3, 6, 8),
        2 => (4, 14, 16),
        _ => (5, 25, 32),
    };
    let mask = if bits == 32 { u32::MAX } else { (1 << bits) - 1 };
    let mut input = Bits { packed, position: 0 };
    let mut last = input.take(bits)?;
    let mut pixels = Vec::with_capacity(n.min(packed.len().saturating_mul(8 * block)));
    while pixels.len() < n {
        let width = input.take(width_bits)?;
        for _ in 0..block.min(n - pixels.len()) {
            let mapped = match width {
                0 => 0,
                width if width == plain + 1 => input.take(bits)?,
                width if width > plain + 1 => return Err(format!("a split of {width} bits")),
                width => {
                    let high = input.zeros()?;
                    let low = input.take(width - 1)?;
                    high.checked_shl(width - 1).unwrap_or(0) | low
                }
            };
            // Even numbers are positive differences, odd ones negative.
            let difference = if mapped & 1 == 0 { mapped >> 1 } else { !(mapped >> 1) };
            last = last.wrapping_add(difference) & mask;
            pixels.push(last);
        }
    }
    Ok(pixels)
}

struct Bits<'a> {
    packed: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<u32, String> {
        let byte = self.packed.get(self.position / 8).ok_or_else(|| "the end of the code before its last pixel".to_owned())?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Ok(bit.into())
    }

    fn take(&mut self, bits: u32) -> Result<u32, String> {
        (0..bits).try_fold(0, |value: u32, _| Ok(value << 1 | self.bit()?))
    }

    /// Zeros before the next one, which is taken too.
    fn zeros(&mut self) -> Result<u32, String> {
        let mut n = 0;
        while self.bit()? == 0 {
            n += 1;
        }
        Ok(n)
    }
}
