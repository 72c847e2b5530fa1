//! Which requests there are.

use super::problem::{Kind, Problem};

/// A request that we know, before its body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/push`: send.
    Push,
    /// `POST /v1/preview`: what would be sent.
    Preview,
    /// `GET /healthz`: the Worker runs.
    Healthz,
    /// `GET /v1/doctor`: the configuration and APNs, probed.
    Doctor,
}

impl Route {
    /// Finds the route of a request.
    ///
    /// # Errors
    /// 404 for a path that there is not, 405 with `Allow` for a method that the path does not take.
    pub fn find(method: &str, path: &str) -> Result<Self, Problem> {
        let (route, allowed) = match path {
            "/v1/push" => (Self::Push, "POST"),
            "/v1/preview" => (Self::Preview, "POST"),
            "/healthz" => (Self::Healthz, "GET"),
            "/v1/doctor" => (Self::Doctor, "GET"),
            _ => return Err(Problem::new(Kind::NotFound, "see the README for the paths")),
        };
        if method == allowed {
            return Ok(route);
        }
        let detail = format!("{path} takes {allowed}");
        Err(Problem::new(Kind::MethodNotAllowed, detail).with_header("allow", allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_are_found() {
        assert_eq!(Route::find("POST", "/v1/push"), Ok(Route::Push));
        assert_eq!(Route::find("GET", "/v1/doctor"), Ok(Route::Doctor));
    }

    #[test]
    fn a_wrong_method_names_the_right_one() {
        let answer = Route::find("GET", "/v1/push").unwrap_err().answer();
        assert_eq!(
            (answer.status, answer.headers),
            (405, vec![("allow", "POST".to_owned())])
        );
    }

    #[test]
    fn a_path_is_exact() {
        for path in ["/", "/v1/push/", "/V1/push", "/v1/push?x"] {
            assert_eq!(
                Route::find("POST", path).unwrap_err().kind(),
                Kind::NotFound,
                "{path}"
            );
        }
    }
}
