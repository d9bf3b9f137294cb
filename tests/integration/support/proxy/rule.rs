//! What goes wrong, and when.

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The proxy answers; the registry hears nothing. `{target}` in a header's value stands for the request's.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// The connection is reset before an answer; the registry hears nothing.
    Reset,
    /// The connection is reset after so many bytes of the request's body.
    CutUpload(u64),
    /// As [`Fault::CutUpload`], and the registry keeps what it got, and says so when it is asked: what the
    /// distribution-spec wants of it. The real one forgets uploads that break off.
    KeepUpload(u64),
    /// The registry does as it was asked, and the answer gets lost.
    LoseAnswer,
    /// Nobody answers.
    Silence,
    /// Nothing more comes after so many bytes of the answer's body.
    Stall(u64),
    /// The connection is closed after so many bytes of the answer's body.
    Truncate(u64),
    /// The connection is reset after so many bytes of the answer's body.
    CutDownload(u64),
    /// The answer's body comes in small pieces, with pauses.
    Slow,
    /// This byte of the answer's body is another one.
    Flip(u64),
    /// This byte of the request's body is another one.
    FlipUpload(u64),
    /// Bytes follow after the end of the answer's body.
    Longer(usize),
    /// The answer has this header with this value, or none of the name. `{location}` stands for its `Location`'s path.
    Header(&'static str, Option<String>),
    /// The request reaches the registry without this header.
    WithoutHeader(&'static str),
    /// The answer's body has no length: it ends with the connection.
    NoLength,
    /// The answer's body is this one.
    Body(Vec<u8>),
}

impl Fault {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// An answer with one header.
    pub fn with_header(status: u16, name: &'static str, value: impl Into<String>) -> Self {
        Self::Answer { status, headers: vec![(name, value.into())], body: Vec::new() }
    }

    /// An error as the distribution-spec has it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{message}\"}}]}}");
        Self::Answer { status, headers: vec![("Content-Type", "application/json".into())], body: body.into_bytes() }
    }
}

/// A fault, and the requests it is for.
#[derive(Clone, Debug)]
pub struct Rule {
    method: &'static str,
    part: &'static str,
    skip: usize,
    times: usize,
    happened: usize,
    least: u64,
    fault: Fault,
}

impl Rule {
    /// For the first request of this method with `part` in its target. `*` is any method.
    pub fn on(method: &'static str, part: &'static str, fault: Fault) -> Self {
        Self { method, part, skip: 0, times: 1, happened: 0, least: 0, fault }
    }

    /// Not for the first `count` of them.
    pub fn after(self, count: usize) -> Self {
        Self { skip: count, ..self }
    }

    /// Only for those that send so many bytes: which blob comes first is chance.
    pub fn of_size(self, least: u64) -> Self {
        Self { least, ..self }
    }

    /// For so many of them.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// For all of them.
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    pub fn happened(&self) -> bool {
        self.happened > 0
    }

    /// The fault, if this request is to have it.
    pub(super) fn applies(&mut self, method: &str, target: &str, length: u64) -> Option<Fault> {
        if (self.method != "*" && self.method != method) || !target.contains(self.part) {
            return None;
        }
        if length < self.least {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        (self.happened < self.times).then(|| {
            self.happened += 1;
            self.fault.clone()
        })
    }
}
