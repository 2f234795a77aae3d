//! Coefficients of the parallax zero point, µas: tables 9 (five-parameter solutions) and 10 (six-parameter
//! solutions) of Lindegren et al. 2021 (A&A 649, A4).

/// Coefficients of a kind of solution.
pub(super) struct Table {
    /// j of c_j and k of b_k for every coefficient.
    pub terms: &'static [[usize; 2]],
    pub nodes: &'static [Node],
}

/// Coefficients at one magnitude, in the order of the terms.
pub(super) struct Node {
    pub magnitude: f64,
    pub q: &'static [f64],
}

const fn node(magnitude: f64, q: &'static [f64]) -> Node {
    Node { magnitude, q }
}

pub(super) static FIVE_PARAMETERS: Table = Table {
    terms: &[[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0], [3, 0], [4, 0]],
    nodes: &[
        node(6.0, &[-26.98, -9.62, 27.4, -25.1, -0.0, -1257.0, 0.0, 0.0]),
        node(10.8, &[-27.23, -3.07, 23.04, 35.3, 15.7, -1257.0, 0.0, 0.0]),
        node(11.2, &[-30.33, -9.23, 9.08, -88.4, -11.8, -1257.0, 0.0, 0.0]),
        node(11.8, &[-33.54, -10.08, 13.28, -126.7, 11.6, -1257.0, 0.0, 0.0]),
        node(12.2, &[-13.65, -0.07, 9.35, -111.4, 40.6, -1257.0, 0.0, 0.0]),
        node(12.9, &[-19.53, -1.64, 15.86, -66.8, 20.6, -1257.0, 0.0, 0.0]),
        node(13.1, &[-37.99, 2.63, 16.14, -5.7, 14.0, -1257.0, 107.9, 104.3]),
        node(15.9, &[-38.33, 5.61, 15.42, 0.0, 18.7, -1189.0, 243.8, 155.2]),
        node(16.1, &[-31.05, 2.83, 8.59, 0.0, 15.5, -1404.0, 105.5, 170.7]),
        node(17.5, &[-29.18, -0.09, 2.41, 0.0, 24.5, -1165.0, 189.7, 325.0]),
        node(19.0, &[-18.4, 5.98, -6.46, 0.0, 5.5, 0.0, 0.0, 276.6]),
        node(20.0, &[-12.65, -4.57, -7.46, 0.0, 97.9, 0.0, 0.0, 0.0]),
        node(21.0, &[-18.22, -15.24, -18.54, 0.0, 128.2, 0.0, 0.0, 0.0]),
    ],
};

pub(super) static SIX_PARAMETERS: Table = Table {
    terms: &[[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0]],
    nodes: &[
        node(6.0, &[-27.85, -7.78, 27.47, -32.1, 14.4, 9.5, -67.0]),
        node(10.8, &[-28.91, -3.57, 22.92, 7.7, 12.6, 1.6, -572.0]),
        node(11.2, &[-26.72, -8.74, 9.36, -30.3, 5.6, 17.2, -1104.0]),
        node(11.8, &[-29.04, -9.69, 13.63, -49.4, 36.3, 17.7, -1129.0]),
        node(12.2, &[-12.39, -2.16, 10.23, -92.6, 19.8, 27.6, -365.0]),
        node(12.9, &[-18.99, -1.93, 15.9, -57.2, -8.0, 19.9, -554.0]),
        node(13.1, &[-38.29, 2.59, 16.2, -10.5, 1.4, 0.4, -960.0]),
        node(15.9, &[-36.83, 4.2, 15.76, 22.3, 11.1, 10.0, -1367.0]),
        node(16.1, &[-28.37, 1.99, 9.28, 50.4, 17.2, 13.7, -1351.0]),
        node(17.5, &[-24.68, -1.37, 3.52, 86.8, 19.8, 21.3, -1380.0]),
        node(19.0, &[-15.32, 4.01, -6.03, 29.2, 14.1, 0.4, -563.0]),
        node(20.0, &[-13.73, -10.92, -8.3, -74.4, 196.4, -42.0, 536.0]),
        node(21.0, &[-29.53, -20.34, -18.74, -39.5, 326.8, -262.3, 1598.0]),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::shared_data;

    /// The coefficients as the reference package has them, where its tables are at hand.
    #[test]
    fn coefficients_are_those_of_the_published_tables() {
        let Some(folder) = shared_data() else { return };
        for (name, table) in [("z5_200720.txt", &FIVE_PARAMETERS), ("z6_200720.txt", &SIX_PARAMETERS)] {
            let text = std::fs::read_to_string(folder.join("parallax_zero_point").join(name)).unwrap();
            let numbers = |line: &str| -> Vec<f64> { line.split(',').map(|cell| cell.trim().parse().unwrap()).collect() };
            let lines: Vec<Vec<f64>> = text.lines().map(numbers).collect();
            for axis in 0..2 {
                let terms: Vec<f64> = table.terms.iter().map(|term| term[axis] as f64).collect();
                assert_eq!(terms, lines[axis][1..]);
            }
            let rows: Vec<Vec<f64>> = table.nodes.iter().map(|node| [&[node.magnitude], node.q].concat()).collect();
            assert_eq!(rows, lines[2..]);
        }
    }
}
