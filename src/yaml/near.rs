//! What was probably meant by a name that does not exist. It must never decide anything: a near name is a hint.

/// The candidate that is so near to `name` that a slip of the keyboard is likely.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing is quadratic; a name that long is no slip.
    if name.is_empty() || name.len() > 128 {
        return None;
    }
    let slips_max = name.chars().count().div_ceil(3).min(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(slips, candidate)| *slips <= slips_max && *slips < candidate.chars().count())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: one character inserted, removed or replaced, or two neighbours swapped.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut current = vec![row];
        for column in 1..=right.len() {
            let replaced = above[column - 1] + usize::from(left[row - 1] != right[column - 1]);
            let mut best = replaced.min(above[column] + 1).min(current[column - 1] + 1);
            if row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1] {
                best = best.min(before[column - 2] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let names = ["meters", "measures", "plans", "per", "rate"];
        for (slip, meant) in [("meter", "meters"), ("mesures", "measures"), ("plasn", "plans"), ("Rate", "rate"), ("pre", "per")] {
            assert_eq!(nearest(slip, names), Some(meant), "{slip}");
        }
        for other in ["", "x", "zzzzzz", "currency", &"p".repeat(1000)] {
            assert_eq!(nearest(other, names), None, "{other}");
        }
    }
}
