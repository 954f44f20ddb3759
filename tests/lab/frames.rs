//! Where one request or reply of the servers' protocol ends and the next begins.

/// How deep replies may lie in one another: more than any server sends, and less than would use up a stack.
const DEPTH_MAX: usize = 16;

/// These bytes are not the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Foreign;

/// The length of the first whole value, or nothing if more bytes are needed to know.
pub(crate) fn first_len(bytes: &[u8]) -> Result<Option<usize>, Foreign> {
    end_of(bytes, 0, 0)
}

/// True: it is not an answer to a request.
pub(crate) fn is_push(frame: &[u8]) -> bool {
    frame.first() == Some(&b'>')
}

/// The name of the command in a whole request, in capitals.
pub(crate) fn command(frame: &[u8]) -> String {
    let name = frame.split(|byte| *byte == b'\n').nth(2).unwrap_or_default();
    String::from_utf8_lossy(name.trim_ascii_end()).to_ascii_uppercase()
}

/// Where the value that begins at `at` ends.
fn end_of(bytes: &[u8], at: usize, depth: usize) -> Result<Option<usize>, Foreign> {
    let Some(line_len) = bytes[at..].iter().position(|byte| *byte == b'\n') else {
        // The sign alone tells what is none of ours.
        return bytes.get(at).map_or(Ok(None), |sign| if b"+-:$*_#,(!=%~>|".contains(sign) { Ok(None) } else { Err(Foreign) });
    };
    let line = bytes[at..at + line_len].strip_suffix(b"\r").ok_or(Foreign)?;
    let after = at + line_len + 1;
    let (sign, count) = line.split_first().ok_or(Foreign)?;
    let count = || std::str::from_utf8(count).ok().and_then(|count| count.parse::<i64>().ok()).ok_or(Foreign);
    let values = match sign {
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => return Ok(Some(after)),
        b'$' | b'!' | b'=' => {
            // -1 is a nil.
            let end = usize::try_from(count()?).map_or(after, |len| after + len + 2);
            return Ok((bytes.len() >= end).then_some(end));
        }
        b'*' | b'~' | b'>' => usize::try_from(count()?).unwrap_or(0),
        b'%' => usize::try_from(count()?).unwrap_or(0) * 2,
        // Attributes stand before the value that they belong to.
        b'|' => usize::try_from(count()?).unwrap_or(0) * 2 + 1,
        _ => return Err(Foreign),
    };
    if depth == DEPTH_MAX {
        return Err(Foreign);
    }
    let mut end = after;
    for _ in 0..values {
        match end_of(bytes, end, depth + 1)? {
            Some(next) => end = next,
            None => return Ok(None),
        }
    }
    Ok(Some(end))
}
