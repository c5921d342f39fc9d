//! The page a client gets when Foreland itself has to answer: short, never stored, with the request id.

use crate::http::list;

/// Seconds after which a client may try again what was refused for lack of room.
pub const RETRY_AFTER: &str = "5";

/// A page in the form that the client prefers.
pub struct Page {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: String,
}

/// Makes a page. `detail` says in one clause what went wrong.
pub fn page(status: u16, detail: &str, id: &str, accept: Option<&[u8]>) -> Page {
    let title = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
    match form(accept) {
        Form::Html => Page {
            content_type: "text/html; charset=utf-8",
            body: format!(
                "<!doctype html>\n<title>{status} {title}</title>\n<h1>{status} {title}</h1>\n<p>{}</p>\n\
                 <p><small>request {}</small></p>\n",
                escape(detail),
                escape(id)
            ),
        },
        Form::Json => Page {
            content_type: "application/json",
            body: serde_json::json!({ "status": status, "error": title, "detail": detail, "request": id })
                .to_string()
                + "\n",
        },
        Form::Text => Page {
            content_type: "text/plain; charset=utf-8",
            body: format!("{status} {title}: {detail}\nrequest {id}\n"),
        },
    }
}

enum Form {
    Html,
    Json,
    Text,
}

/// The first form the client names; text for those who take anything.
fn form(accept: Option<&[u8]>) -> Form {
    for member in list::members(accept.unwrap_or_default()) {
        let media = member.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        match media {
            b"text/html" => return Form::Html,
            b"application/json" => return Form::Json,
            b"text/plain" | b"*/*" | b"text/*" => return Form::Text,
            _ => {}
        }
    }
    Form::Text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_the_form_and_the_id_is_in_each() {
        for (accept, expected) in [
            (None, "text/plain"),
            (Some("*/*"), "text/plain"),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), "text/html"),
            (Some("application/json;q=0.9"), "application/json"),
            (Some("image/png"), "text/plain"),
        ] {
            let page = page(502, "the <origin> failed", "01ID", accept.map(str::as_bytes));
            assert!(page.content_type.starts_with(expected), "{accept:?}");
            assert!(page.body.contains("01ID") && page.body.contains("502"), "{}", page.body);
            assert!(expected != "text/html" || page.body.contains("&lt;origin&gt;"));
        }
    }
}
