//! Patterns of paths: `/v1/models/{model}/images`.

/// A pattern: segments that are as written, `*` for any one, `{name}` for any one that is kept, and `**` at the end for any rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Exact(Box<str>),
    Any,
    Named(Box<str>),
    /// Nothing comes after it.
    Rest,
}

/// Segments of a path that are kept, by their names.
pub type Captured<'p> = Vec<(Box<str>, &'p str)>;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("must begin with `/`: got `{0}`")]
    NoSlash(String),
    #[error("has `**` before its end")]
    RestInside,
    #[error("is no segment of a pattern: `{0}`")]
    Segment(String),
    #[error("names two segments `{0}`")]
    NamedTwice(String),
}

impl Path {
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let Some(below_root) = text.strip_prefix('/') else { return Err(PathError::NoSlash(text.to_owned())) };
        let mut segments: Vec<Segment> = Vec::new();
        for part in below_root.split('/') {
            if segments.last() == Some(&Segment::Rest) {
                return Err(PathError::RestInside);
            }
            let segment = Segment::parse(part)?;
            if let Segment::Named(name) = &segment
                && segments.contains(&segment)
            {
                return Err(PathError::NamedTwice(name.to_string()));
            }
            segments.push(segment);
        }
        Ok(Self(segments))
    }

    /// What the segments are called that are kept.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Named(name) => Some(&**name),
            Segment::Exact(_) | Segment::Any | Segment::Rest => None,
        })
    }

    /// The segments that are kept, if a path fits. A query is not looked at, and no segment that is kept is empty.
    pub fn captures<'p>(&self, path: &'p str) -> Option<Captured<'p>> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut parts = path.strip_prefix('/')?.split('/');
        let mut captured = Vec::new();
        for segment in &self.0 {
            match (segment, parts.next()) {
                (Segment::Rest, _) => return Some(captured),
                (_, None) => return None,
                (Segment::Exact(text), Some(part)) if **text == *part => {}
                (Segment::Any, Some(part)) if !part.is_empty() => {}
                (Segment::Named(name), Some(part)) if !part.is_empty() => captured.push((name.clone(), part)),
                (Segment::Exact(_) | Segment::Any | Segment::Named(_), Some(_)) => return None,
            }
        }
        parts.next().is_none().then_some(captured)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PathError> {
        match text {
            "*" => return Ok(Self::Any),
            "**" => return Ok(Self::Rest),
            _ => {}
        }
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return if is_name { Ok(Self::Named(name.into())) } else { Err(PathError::Segment(text.to_owned())) };
        }
        if text.contains(['{', '}', '*', '?', '#']) || text.chars().any(char::is_control) {
            return Err(PathError::Segment(text.to_owned()));
        }
        Ok(Self::Exact(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fits_segment_by_segment() {
        for (pattern, path, kept) in [
            ("/v1/images", "/v1/images", Some("")),
            ("/v1/images", "/v1/images?size=2", Some("")),
            ("/v1/images", "/v1/images/", None),
            ("/v1/images", "/v1", None),
            ("/v1/*/images", "/v1/fal/images", Some("")),
            ("/v1/*/images", "/v1//images", None),
            ("/v1/{provider}/{model}", "/v1/fal/flux?x", Some("provider=fal model=flux")),
            ("/v1/{provider}/{model}", "/v1/fal/", None),
            ("/v1/**", "/v1/a/b", Some("")),
            ("/v1/**", "/v1", Some("")),
            ("/v1/**", "/v2", None),
            ("/", "/", Some("")),
            ("/**", "/anything", Some("")),
            ("/v1", "*", None),
        ] {
            let captured = Path::parse(pattern).unwrap().captures(path);
            let shown = captured.map(|list| list.iter().map(|(name, part)| format!("{name}={part}")).collect::<Vec<_>>().join(" "));
            assert_eq!(shown.as_deref(), kept, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (text, why) in [
            ("v1", "must begin with `/`: got `v1`"),
            ("/v1/**/x", "has `**` before its end"),
            ("/v1/a*", "is no segment of a pattern: `a*`"),
            ("/v1/{}", "is no segment of a pattern: `{}`"),
            ("/v1/{a}:run", "is no segment of a pattern: `{a}:run`"),
            ("/{a}/{a}", "names two segments `a`"),
            ("/v1?x=1", "is no segment of a pattern: `v1?x=1`"),
        ] {
            assert_eq!(Path::parse(text).unwrap_err().to_string(), why, "{text}");
        }
    }
}
