//! Variables of the environment, as whoever uses the library hands them over: nothing below `cli` reads those of the
//! process by itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

/// Names and values. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Vars(Arc<BTreeMap<OsString, OsString>>);

impl Vars {
    /// These variables, such as `std::env::vars_os()`.
    pub fn new(all: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(Arc::new(all.into_iter().collect()))
    }

    /// The value of `name`; `None` if it is not set, or is no text.
    pub fn get(&self, name: &str) -> Option<String> {
        self.os(name)?.into_string().ok()
    }

    /// The value of `name`, whatever it holds.
    pub fn os(&self, name: &str) -> Option<OsString> {
        self.0.get(std::ffi::OsStr::new(name)).cloned()
    }

    /// All that are text. Others cannot be meant for a task.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let text =
            |(name, value): (&OsString, &OsString)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()));
        self.0.iter().filter_map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn what_is_no_text_is_there_and_is_nobodys() {
        let odd = OsString::from_vec(vec![0xff]);
        let vars = Vars::new([("A".into(), "1".into()), ("B".into(), odd.clone())]);
        assert_eq!((vars.get("A").as_deref(), vars.get("B"), vars.os("B")), (Some("1"), None, Some(odd)));
        assert_eq!(vars.texts(), BTreeMap::from([("A".to_owned(), "1".to_owned())]));
        assert_eq!(Vars::default().get("PATH"), None);
    }
}
