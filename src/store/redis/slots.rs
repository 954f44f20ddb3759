//! The slots of a cluster, as a node tells them with `CLUSTER SLOTS`.

use redis::Value;

use super::address::Node;

/// Slots of every cluster.
pub(super) const SLOTS: u16 = 16384;

/// Slots in a row that one primary serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) first: u16,
    /// Belongs to it.
    pub(super) last: u16,
    pub(super) primary: Node,
    pub(super) replicas: usize,
}

/// Reads a reply of `from`, in the order of the slots. None: it is not such a reply.
pub(super) fn read(reply: &Value, from: &Node) -> Option<Vec<Range>> {
    let Value::Array(ranges) = reply else { return None };
    let mut ranges = ranges.iter().map(|range| read_range(range, from)).collect::<Option<Vec<_>>>()?;
    ranges.sort();
    Some(ranges)
}

fn read_range(range: &Value, from: &Node) -> Option<Range> {
    let Value::Array(parts) = range else { return None };
    let [first, last, primary, replicas @ ..] = parts.as_slice() else { return None };
    let (first, last) = (slot(first)?, slot(last)?);
    let Value::Array(primary) = primary else { return None };
    let host = match primary.first()? {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        // A node that does not know its own address leaves it out.
        _ => String::new(),
    };
    let port = match primary.get(1)? {
        Value::Int(port) => u16::try_from(*port).ok()?,
        _ => return None,
    };
    let host = if host.is_empty() || host == "?" { from.host.clone() } else { host };
    (first <= last).then_some(Range { first, last, primary: Node { host, port }, replicas: replicas.len() })
}

fn slot(value: &Value) -> Option<u16> {
    match value {
        Value::Int(slot) => u16::try_from(*slot).ok().filter(|slot| *slot < SLOTS),
        _ => None,
    }
}

/// How many slots somebody serves.
pub(super) fn served(ranges: &[Range]) -> usize {
    ranges.iter().map(|range| usize::from(range.last - range.first) + 1).sum()
}

/// The view that most nodes have; of two as common, the one with more slots. A node that was cut off may have another one.
pub(super) fn most(views: Vec<Vec<Range>>) -> Option<Vec<Range>> {
    let owners = |view: &[Range]| view.iter().map(|range| (range.first, range.last, range.primary.clone())).collect::<Vec<_>>();
    let votes = |view: &[Range]| views.iter().filter(|other| owners(other) == owners(view)).count();
    let best = views.iter().max_by_key(|view| (votes(view), served(view)))?;
    Some(best.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16, port: u16) -> Range {
        Range { first, last, primary: Node { host: "h".to_owned(), port }, replicas: 0 }
    }

    #[test]
    fn the_view_of_most_counts() {
        let old = vec![range(0, 99, 1), range(100, 16383, 2)];
        let new = vec![range(0, 99, 3), range(100, 16383, 2)];
        assert_eq!(most(vec![old.clone(), new.clone(), new.clone()]), Some(new.clone()));
        assert_eq!(most(vec![vec![range(0, 9, 1)], new.clone()]), Some(new.clone()));
        assert_eq!(most(Vec::new()), None);
        assert_eq!(served(&new), 16384);
    }

    #[test]
    fn a_node_without_an_address_is_the_one_that_answers() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let reply = |host| Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(9), node(host, 7), node(text("r"), 8)])]);
        let from = Node { host: "here".to_owned(), port: 6379 };
        for (host, expected) in [(text("there"), "there"), (text(""), "here"), (text("?"), "here"), (Value::Nil, "here")] {
            let ranges = read(&reply(host), &from).unwrap();
            assert_eq!((ranges[0].primary.host.as_str(), ranges[0].primary.port, ranges[0].replicas), (expected, 7, 1));
        }
        assert_eq!(read(&Value::Okay, &from), None);
        assert_eq!(read(&Value::Array(vec![Value::Array(vec![Value::Int(9), Value::Int(0), node(text("h"), 1)])]), &from), None);
    }
}
