//! One client's connection: request by request, to the registry and back.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::message::{Framing, Head};
use super::{Exchange, Fault, Shared};

/// A socket whose bytes are counted.
struct Counted<'a>(&'a TcpStream, &'a AtomicU64, &'a AtomicU64);

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(buffer)?;
        self.1.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // Before it goes: who has it may look at the count at once.
        self.2.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        let written = self.0.write(buffer);
        let unsent = buffer.len() - written.as_ref().map_or(0, |length| *length);
        self.2.fetch_sub(unsent as u64, Ordering::Relaxed);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What happens to the connection after a request.
enum Then {
    Next,
    Close,
    Reset,
    /// Open, and silent.
    Hold,
}

/// Serves a client until one of the two hangs up.
pub(super) fn connection(shared: &Shared, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(Counted(&stream, &shared.bytes_in, &shared.bytes_out));
    let then = loop {
        match request(shared, &mut reader, &stream) {
            Ok(Then::Next) => {}
            Ok(then) => break then,
            Err(_) => break Then::Close,
        }
    };
    match then {
        Then::Reset => {
            let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
        }
        Then::Hold => hold(shared, &stream),
        Then::Next | Then::Close => {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

/// Until the client hangs up or the test ends.
fn hold(shared: &Shared, mut stream: &TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    let mut buffer = [0; 4096];
    while !shared.ended.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
            _ => {}
        }
    }
}

type Client<'a> = BufReader<Counted<'a>>;

fn request(shared: &Shared, client: &mut Client<'_>, stream: &TcpStream) -> io::Result<Then> {
    let Some(mut head) = Head::read(client)? else { return Ok(Then::Close) };
    let (method, target) = (head.word(0).to_owned(), head.word(1).to_owned());
    let mut exchange = Exchange {
        headers: head.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect(),
        method: method.clone(),
        target: target.clone(),
        sent: 0,
        status: 0,
    };
    let number = shared.count.fetch_add(1, Ordering::Relaxed);
    shared.log.lock().unwrap().push((number, exchange.clone()));
    let note = |exchange: &Exchange| shared.note(number, exchange);
    let length = head.get("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let fault = shared.rules.lock().unwrap().iter_mut().find_map(|rule| rule.applies(&method, &target, length));
    let refused = shared.tokens.as_ref().and_then(|tokens| tokens.check(&shared.address, &head));
    let result = match (fault, refused) {
        (Some(Fault::Answer { status, headers, body }), _) | (None, Some((status, headers, body))) => {
            answer(client, &head, &mut exchange, &note, (status, headers, &body))
        }
        (Some(Fault::Reset), _) => Ok(Then::Reset),
        (Some(Fault::Silence), _) => Ok(Then::Hold),
        // A fault is for a request that may pass.
        (Some(_), Some((status, headers, body))) => {
            answer(client, &head, &mut exchange, &note, (status, headers, &body))
        }
        (fault, None) => pass(shared, client, stream, &mut head, fault.as_ref(), &mut exchange, &note),
    };
    note(&exchange);
    result
}

/// Answers in the registry's place, once the request has come.
fn answer(
    client: &mut Client<'_>,
    head: &Head,
    exchange: &mut Exchange,
    note: &dyn Fn(&Exchange),
    (status, headers, body): (u16, Vec<(&'static str, String)>, &[u8]),
) -> io::Result<Then> {
    let mut framing = Framing::of_request(head);
    while let Some(piece) = framing.next(client)? {
        exchange.sent += piece.len() as u64;
    }
    exchange.status = status;
    note(exchange);
    let headers =
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.replace("{target}", &exchange.target)));
    let mut answer = Head { first: format!("HTTP/1.1 {status} Asked-For"), headers: headers.collect() };
    answer.set("Content-Length", &body.len().to_string());
    answer.write(client.get_mut())?;
    if exchange.method != "HEAD" {
        client.get_mut().write_all(body)?;
    }
    Ok(Then::Next)
}

/// Passes a request on, and its answer back.
fn pass(
    shared: &Shared,
    client: &mut Client<'_>,
    stream: &TcpStream,
    head: &mut Head,
    fault: Option<&Fault>,
    exchange: &mut Exchange,
    note: &dyn Fn(&Exchange),
) -> io::Result<Then> {
    let upstream = TcpStream::connect(&shared.upstream)?;
    upstream.set_nodelay(true)?;
    let mut registry = BufReader::new(upstream);
    head.set("Connection", "close");
    if head.get("expect").is_some() {
        head.remove("Expect");
        client.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if let Some(Fault::WithoutHeader(name)) = fault {
        head.remove(name);
    }
    let path = exchange.target.split('?').next().unwrap_or_default().to_owned();
    if let Some(target) = shared.continued.lock().unwrap().get(&path).filter(|_| exchange.method == "GET") {
        head.first = format!("GET {target} HTTP/1.1");
    }
    if let Some(Fault::KeepUpload(length)) = fault {
        shorten(head, *length);
    }
    head.write(registry.get_mut())?;
    let mut framing = Framing::of_request(head);
    while let Some(mut piece) = framing.next(client)? {
        if let Some(Fault::FlipUpload(at)) = fault {
            flip(&mut piece, exchange.sent, *at);
        }
        if let Some(Fault::CutUpload(at)) = fault {
            piece.truncate(usize::try_from(at.saturating_sub(exchange.sent)).unwrap());
        }
        exchange.sent += piece.len() as u64;
        if !piece.is_empty() {
            framing.write(registry.get_mut(), &piece)?;
        }
        if matches!(fault, Some(Fault::CutUpload(at)) if exchange.sent >= *at) {
            return Ok(Then::Reset);
        }
    }
    framing.end(registry.get_mut())?;
    let Some(head) = Head::read(&mut registry)? else { return Ok(Then::Close) };
    if let Some(Fault::KeepUpload(_)) = fault {
        let next = head.get("location").and_then(|location| url::Url::parse(location).ok()).unwrap();
        let next = format!("{}?{}", next.path(), next.query().unwrap_or_default());
        shared.continued.lock().unwrap().insert(path, next);
    }
    if matches!(fault, Some(Fault::LoseAnswer | Fault::KeepUpload(_))) {
        return Ok(Then::Reset);
    }
    back(client, stream, &mut registry, head, fault, exchange, note)
}

/// Of the chunk, the registry hears of the first `length` bytes only.
fn shorten(head: &mut Head, length: u64) {
    let start = head.get("content-range").and_then(|range| range.split('-').next()?.parse::<u64>().ok());
    let start = start.unwrap_or_default();
    head.set("Content-Range", &format!("{start}-{}", start + length - 1));
    head.set("Content-Length", &length.to_string());
}

fn flip(piece: &mut [u8], before: u64, at: u64) {
    let at = at.checked_sub(before).and_then(|at| usize::try_from(at).ok());
    if let Some(byte) = at.and_then(|at| piece.get_mut(at)) {
        *byte ^= 1;
    }
}

fn back(
    client: &mut Client<'_>,
    stream: &TcpStream,
    registry: &mut BufReader<TcpStream>,
    mut head: Head,
    fault: Option<&Fault>,
    exchange: &mut Exchange,
    note: &dyn Fn(&Exchange),
) -> io::Result<Then> {
    let mut framing = Framing::of_answer(&head, &exchange.method);
    head.remove("Connection");
    let mut then = if framing == Framing::UntilClose { Then::Close } else { Then::Next };
    match fault {
        Some(Fault::Header(name, value)) => {
            let location = head.get("location").unwrap_or_default();
            let path = location.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
            let path = path.map_or(location.to_owned(), |(_, path)| format!("/{path}"));
            match value {
                Some(value) => head.set(name, &value.replace("{location}", &path)),
                None => head.remove(name),
            }
        }
        Some(Fault::NoLength) => {
            head.remove("Content-Length");
            head.set("Connection", "close");
            then = Then::Close;
        }
        Some(Fault::Body(body)) => {
            head.set("Content-Length", &body.len().to_string());
            head.remove("Docker-Content-Digest");
        }
        Some(Fault::Longer(_)) => {
            head.remove("Content-Length");
            then = Then::Close;
        }
        _ => {}
    }
    exchange.status = head.word(1).parse().unwrap_or_default();
    note(exchange);
    head.write(client.get_mut())?;
    if let Some(Fault::Body(body)) = fault {
        client.get_mut().write_all(body)?;
        return Ok(Then::Close);
    }
    let mut came = 0;
    while let Some(mut piece) = framing.next(registry)? {
        let limit = match fault {
            Some(Fault::Stall(at) | Fault::Truncate(at) | Fault::CutDownload(at)) => *at,
            _ => u64::MAX,
        };
        if let Some(Fault::Flip(at)) = fault {
            flip(&mut piece, came, *at);
        }
        piece.truncate(usize::try_from(limit.saturating_sub(came)).unwrap_or(usize::MAX));
        let step = if matches!(fault, Some(Fault::Slow)) { 1 + piece.len() / 8 } else { usize::MAX };
        for part in piece.chunks(step) {
            if step < usize::MAX {
                std::thread::sleep(Duration::from_millis(50));
            }
            framing.write(client.get_mut(), part)?;
        }
        came += piece.len() as u64;
        if came >= limit {
            // The kernel may hold back what is to be read before the reset.
            let _ = rustix::net::sockopt::set_tcp_nodelay(stream, true);
            return Ok(match fault {
                Some(Fault::Stall(_)) => Then::Hold,
                Some(Fault::CutDownload(_)) => Then::Reset,
                _ => Then::Close,
            });
        }
    }
    if let Some(Fault::Longer(count)) = fault {
        client.get_mut().write_all(&vec![b'x'; *count])?;
    }
    framing.end(client.get_mut())?;
    Ok(then)
}
