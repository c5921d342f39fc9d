//! The body that proves a request was answered, by an origin that read it whole, and arrived unharmed.

const LENGTH: usize = 1024;

/// FNV-1a: notices what was cut, mixed up or changed.
pub fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What the answer to a request says of it.
pub fn body(method: &str, path: &str, sent: &[u8], server: &str) -> Vec<u8> {
    let mut body = format!("{method} {path}\nread {:016x}\nserver {server}\n", sum(sent)).into_bytes();
    body.resize(LENGTH.max(body.len()), b'.');
    let sum = sum(&body);
    body.extend_from_slice(format!("\n{sum:016x}\n").as_bytes());
    body
}

/// What is wrong with an answer.
pub fn mistake(answer: &[u8], method: &str, path: &str, sent: &[u8]) -> Option<&'static str> {
    let Some((said, own)) = answer.len().checked_sub(18).map(|at| answer.split_at(at)) else {
        return Some("body cut");
    };
    if own != format!("\n{:016x}\n", sum(said)).as_bytes() {
        return Some("body harmed");
    }
    if !said.starts_with(format!("{method} {path}\n").as_bytes()) {
        return Some("answer to another request");
    }
    let read = format!("{method} {path}\nread {:016x}\n", sum(sent));
    (!said.starts_with(read.as_bytes())).then_some("origin read another body")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_request_is_right() {
        let answer = body("PUT", "/a", b"sent", "s1");
        assert_eq!(mistake(&answer, "PUT", "/a", b"sent"), None);
        assert_eq!(mistake(&answer, "PUT", "/b", b"sent"), Some("answer to another request"));
        assert_eq!(mistake(&answer, "PUT", "/a", b"lost"), Some("origin read another body"));
        assert_eq!(mistake(&answer[..900], "PUT", "/a", b"sent"), Some("body harmed"));
        assert_eq!(mistake(b"", "PUT", "/a", b"sent"), Some("body cut"));
    }
}
