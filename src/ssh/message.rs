//! Messages of agents (draft-miller-ssh-agent), and which of them a login takes.

/// Bytes of a message without its length: OpenSSH's agents take no more (`AGENT_MAX_LEN`).
pub const MOST: usize = 256 << 10;

/// `SSH_AGENT_FAILURE`: what is answered to all that is refused.
pub const FAILURE: u8 = 5;
/// `SSH_AGENTC_REQUEST_IDENTITIES`.
pub const REQUEST_IDENTITIES: u8 = 11;
/// `SSH_AGENT_IDENTITIES_ANSWER`.
const IDENTITIES_ANSWER: u8 = 12;
/// `SSH_AGENTC_SIGN_REQUEST`.
const SIGN_REQUEST: u8 = 13;
/// `SSH_AGENTC_EXTENSION`.
const EXTENSION: u8 = 27;

/// Tells the agent which host a key is used for: it refuses keys that are meant for others (OpenSSH, PROTOCOL.agent).
const SESSION_BIND: &[u8] = b"session-bind@openssh.com";

/// `SSH_MSG_USERAUTH_REQUEST` of RFC 4252.
const USERAUTH_REQUEST: u8 = 50;
/// Methods by which a key logs in: RFC 4252 section 7, and OpenSSH's PROTOCOL section 3.1.
const METHODS: [&[u8]; 2] = [b"publickey", b"publickey-hostbound-v00@openssh.com"];

/// A message with its length before it.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    frame.extend_from_slice(message);
    frame
}

/// The length of a message, if it can be one.
pub fn length(bytes: [u8; 4]) -> Option<usize> {
    let length = usize::try_from(u32::from_be_bytes(bytes)).ok()?;
    (1..=MOST).contains(&length).then_some(length)
}

/// How many keys an answer lists.
pub fn count(answer: &[u8]) -> Option<usize> {
    let (&IDENTITIES_ANSWER, rest) = answer.split_first()? else { return None };
    usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()
}

/// True for what a login takes: which keys there are, a signature under the login, and for which host that is. A key may
/// sign much else, files and commits say; no command that clones has any business with that.
pub fn allowed(message: &[u8]) -> bool {
    match message.split_first() {
        Some((&REQUEST_IDENTITIES, rest)) => rest.is_empty(),
        Some((&SIGN_REQUEST, rest)) => signs_a_login(rest).unwrap_or_default(),
        Some((&EXTENSION, rest)) => string(rest).is_some_and(|(name, _)| name == SESSION_BIND),
        _ => false,
    }
}

/// A string of RFC 4251 section 5, and what follows.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// True if what is to be signed is a login with a key, whole and with nothing behind it: the rest of a sign request is
/// the key, the data and flags.
fn signs_a_login(request: &[u8]) -> Option<bool> {
    let (_key, rest) = string(request)?;
    let (data, flags) = string(rest)?;
    let (_session, rest) = string(data)?;
    let (kind, rest) = rest.split_first()?;
    let (_user, rest) = string(rest)?;
    let (service, rest) = string(rest)?;
    let (method, rest) = string(rest)?;
    let (with_signature, rest) = rest.split_first()?;
    let (_algorithm, rest) = string(rest)?;
    let (_public, mut rest) = string(rest)?;
    if method == METHODS[1] {
        // The host's key.
        (_, rest) = string(rest)?;
    }
    let login = *kind == USERAUTH_REQUEST && service == b"ssh-connection" && METHODS.contains(&method);
    Some(login && *with_signature == 1 && rest.is_empty() && flags.len() == 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(parts: &[&[u8]]) -> Vec<u8> {
        parts.iter().flat_map(|part| frame(part)).collect()
    }

    fn login(method: &[u8], more: &[u8]) -> Vec<u8> {
        let mut data = strings(&[b"session"]);
        data.push(USERAUTH_REQUEST);
        data.extend(strings(&[b"git", b"ssh-connection", method]));
        data.push(1);
        data.extend(strings(&[b"ssh-ed25519", b"key"]));
        data.extend_from_slice(more);
        data
    }

    fn sign(data: &[u8]) -> Vec<u8> {
        let mut message = vec![SIGN_REQUEST];
        message.extend(strings(&[b"key", data]));
        message.extend([0; 4]);
        message
    }

    #[test]
    fn logins_are_all_that_is_signed() {
        assert!(allowed(&sign(&login(METHODS[0], b""))));
        assert!(allowed(&sign(&login(METHODS[1], &strings(&[b"host"])))));
        assert!(!allowed(&sign(&login(METHODS[0], b"more"))) && !allowed(&sign(&login(METHODS[1], b""))));
        assert!(!allowed(&sign(&login(b"password", b""))));
        // What ssh-keygen -Y signs, and git with it (PROTOCOL.sshsig).
        let mut file = b"SSHSIG".to_vec();
        file.extend(strings(&[b"git", b"", b"sha512", b"hash"]));
        assert!(!allowed(&sign(&file)));
        let whole = sign(&login(METHODS[0], b""));
        assert!((0..whole.len()).all(|end| !allowed(&whole[..end])), "a part of it is none");
    }

    #[test]
    fn agents_are_told_nothing_else() {
        assert!(allowed(&[REQUEST_IDENTITIES]));
        let mut extension = vec![EXTENSION];
        extension.extend(strings(&[SESSION_BIND, b"key"]));
        assert!(allowed(&extension));
        let mut other = vec![EXTENSION];
        other.extend(strings(&[b"query"]));
        assert!(!allowed(&other) && !allowed(&[]) && !allowed(&[REQUEST_IDENTITIES, 0]));
        for kind in (0..=u8::MAX).filter(|kind| *kind != REQUEST_IDENTITIES) {
            assert!(!allowed(&[kind]), "{kind}");
        }
    }

    #[test]
    fn messages_have_bounds() {
        assert_eq!(length([0, 0, 0, 0]), None);
        assert_eq!(length([0, 4, 0, 0]), Some(MOST));
        assert_eq!(length([0, 4, 0, 1]), None);
        assert_eq!(length([0xFF; 4]), None);
        assert_eq!(count(&[IDENTITIES_ANSWER, 0, 0, 0, 2, 9]), Some(2));
        assert_eq!(count(&[FAILURE]), None);
        assert_eq!(count(&[IDENTITIES_ANSWER, 0]), None);
    }
}
