//! Packed symmetric matrices: the upper triangle, row by row, as in files (`covariance_triu`).

/// Number of values of a packed triangle of an `n × n` matrix.
pub const fn length(n: usize) -> usize {
    n * (n + 1) / 2
}

/// Side of the matrix whose packed triangle has `length` values, if there is one.
pub fn side(length: usize) -> Option<usize> {
    let n = (((8 * length + 1) as f64).sqrt() as usize).saturating_sub(1) / 2;
    (n.saturating_sub(1)..=n + 1).find(|&n| self::length(n) == length)
}

/// Position of element (`row`, `column`), `row ≤ column`, in the row-wise upper triangle of an `n × n`
/// matrix.
pub const fn upper(row: usize, column: usize, n: usize) -> usize {
    row * (2 * n + 1 - row) / 2 + column - row
}

/// Position of element (`row`, `column`), `column ≤ row`, in the row-wise lower triangle.
pub const fn lower(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_up_row_by_row() {
        let n = 5;
        let upper_positions: Vec<usize> = (0..n).flat_map(|i| (i..n).map(move |j| upper(i, j, n))).collect();
        let lower_positions: Vec<usize> = (0..n).flat_map(|i| (0..=i).map(move |j| lower(i, j))).collect();
        assert_eq!(upper_positions, (0..length(n)).collect::<Vec<_>>());
        assert_eq!(lower_positions, upper_positions);
    }

    #[test]
    fn side_inverts_length() {
        assert_eq!((side(1891), side(0), side(1), side(2), side(1890)), (Some(61), Some(0), Some(1), None, None));
    }
}
