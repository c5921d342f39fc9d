//! What a client of a test asks, in words that fit both protocols.

/// The host that every request names unless it says otherwise.
pub const HOST: &str = "edge.test";

/// A request.
#[derive(Clone)]
pub struct Ask {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) chunked: bool,
}

fn ask(method: &str, path: &str) -> Ask {
    Ask { method: method.to_owned(), path: path.to_owned(), fields: Vec::new(), body: None, chunked: false }
}

/// A GET.
pub fn get(path: &str) -> Ask {
    ask("GET", path)
}

/// A HEAD.
pub fn head(path: &str) -> Ask {
    ask("HEAD", path)
}

/// A POST with a body.
pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Ask {
    Ask { body: Some(body.into()), ..ask("POST", path) }
}

impl Ask {
    /// One more field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.to_owned();
        self
    }

    /// The body in chunks.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.path
    }

    /// As it goes out over HTTP/1.1.
    pub fn wire(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {HOST}\r\n", self.method, self.path);
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.chunked {
            let chunks: Vec<u8> = body.chunks(7).flat_map(chunk).collect();
            return [
                (head + "Transfer-Encoding: chunked\r\n\r\n").into_bytes(),
                chunks,
                b"0\r\n\r\n".to_vec(),
            ]
            .concat();
        }
        if self.body.is_some() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        [(head + "\r\n").as_bytes(), body].concat()
    }

    /// As it goes out over HTTP/2, with this scheme.
    pub fn h2(&self, scheme: &str) -> http::Request<()> {
        let uri = format!("{scheme}://{HOST}{}", self.path);
        let mut request = http::Request::builder().method(self.method.as_str()).uri(uri);
        for (name, value) in &self.fields {
            request = request.header(name.to_ascii_lowercase(), value);
        }
        if let Some(body) = self.body.as_ref().filter(|_| !self.chunked) {
            request = request.header("content-length", body.len());
        }
        request.version(http::Version::HTTP_2).body(()).unwrap()
    }
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}
