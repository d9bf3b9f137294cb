//! The ways in which a blob can be sent, and when a registry has refused one of them: few take all.

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, RANGE};

use super::RegistryError;
use super::push::header;

/// A registry that has no such upload twice in a row does not take it in this way.
const STAYS: u32 = 2;

/// How a blob is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// With the request that ends the upload.
    Whole,
    /// In one request before that.
    Stream,
    /// In several, of so many bytes each.
    Chunks(u64),
}

impl Manner {
    /// What is tried in its place.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Whole => Self::Stream,
            Self::Stream | Self::Chunks(_) => Self::Whole,
        }
    }
}

/// A request of an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Request {
    #[default]
    Post,
    Patch,
    /// With the blob, or what is left of it.
    Put,
    /// Without.
    End,
}

/// Where an upload is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    request: Request,
    /// How often in a row there was no such upload.
    missing: u32,
}

impl Step {
    /// This is asked for next.
    pub(super) fn is(&mut self, request: Request) {
        self.request = request;
    }

    /// There is no such upload.
    pub(super) fn misses(&mut self) {
        self.missing += 1;
    }

    /// There is one.
    pub(super) fn went_well(&mut self) {
        self.missing = 0;
    }

    /// True if the registry does not take the blob in this way, whatever is in it.
    pub(super) fn is_refused(&mut self, error: &RegistryError) -> bool {
        let refused = match (self.request, error) {
            (Request::Post | Request::End, _) => false,
            (_, RegistryError::UploadLost { .. }) => self.missing >= STAYS,
            (Request::Put, error) => matches!(error.status(), Some(400 | 405 | 411 | 415 | 501)),
            (Request::Patch, error) => matches!(error.status(), Some(400 | 405 | 411 | 415 | 501)),
        };
        if refused {
            self.missing = 0;
        }
        refused
    }
}

/// Bytes that the registry says it has.
pub(super) fn received(response: &Response) -> Option<u64> {
    let range = header(response, RANGE.as_str())?;
    let (_, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    // Of nothing, too, registries say `0-0`.
    last.parse::<u64>().ok().and_then(|last| if last == 0 { Some(0) } else { last.checked_add(1) })
}

/// True for a page for people: a login's, or a proxy's.
pub(super) fn is_html(response: &Response) -> bool {
    header(response, CONTENT_TYPE.as_str())
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
}
