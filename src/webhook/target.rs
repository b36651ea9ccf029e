//! A URL → where a webhook leads, if it may lead there.

use super::address::{AllowedNetworks, is_public};
use std::net::IpAddr;
use std::sync::Arc;
use url::{Host, Url};

/// Longest URL, in characters.
pub const URL_LENGTH_MAX: usize = 2048;
const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// Where webhooks may lead. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reach(Arc<Limits>);

#[derive(Debug, Default)]
struct Limits {
    ports: Vec<u16>,
    networks: AllowedNetworks,
}

/// How a receiver is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Encrypted: to whatever is public or allowed.
    Https,
    /// In the clear: within allowed networks only.
    Http,
}

/// A URL that is as it must be. When it has a name, where that leads is found out at each delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    scheme: Scheme,
}

/// Why a webhook may not lead somewhere. None tells what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("must be a URL like https://receiver.example/iaq, of at most 2048 characters")]
    NotUrl,
    #[error("must begin with https://")]
    Scheme,
    #[error("must have no name and no password in it")]
    UserInfo,
    #[error("must have port 443, or one that IAQ_WEBHOOK_PORTS names")]
    Port,
    #[error(
        "must lead to public addresses only, or to networks that IAQ_WEBHOOK_ALLOWED_NETWORKS \
         names; http:// to the latter only"
    )]
    Address,
}

impl TargetError {
    /// Stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotUrl => "bad_url",
            Self::Scheme => "bad_scheme",
            Self::UserInfo => "userinfo",
            Self::Port => "port_not_allowed",
            Self::Address => "address_not_allowed",
        }
    }
}

impl Reach {
    pub fn new(ports: &[u16], networks: AllowedNetworks) -> Self {
        Self(Arc::new(Limits {
            ports: ports.to_vec(),
            networks,
        }))
    }

    /// Whether a receiver may be at this address.
    pub fn allows(&self, address: IpAddr, scheme: Scheme) -> bool {
        self.0.networks.contain(address) || (scheme == Scheme::Https && is_public(address))
    }

    /// Whether a webhook may lead to this URL, as far as it tells without asking for its name.
    pub fn check(&self, text: &str) -> Result<Target, TargetError> {
        if text.chars().count() > URL_LENGTH_MAX {
            return Err(TargetError::NotUrl);
        }
        let url = Url::parse(text).map_err(|_invalid| TargetError::NotUrl)?;
        let (scheme, usual_port) = match url.scheme() {
            "https" => (Scheme::Https, HTTPS_PORT),
            "http" => (Scheme::Http, HTTP_PORT),
            _ => return Err(TargetError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::UserInfo);
        }
        let port = url.port().unwrap_or(usual_port);
        if port != usual_port && !self.0.ports.contains(&port) {
            return Err(TargetError::Port);
        }
        // The parser has made an address of every spelling of one, as browsers do.
        let address = match url.host() {
            None => return Err(TargetError::NotUrl),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        };
        if address.is_some_and(|address| !self.allows(address, scheme)) {
            return Err(TargetError::Address);
        }
        Ok(Target { url, scheme })
    }
}

impl Target {
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The name that is to be asked for; `None` when the URL has an address.
    pub fn name(&self) -> Option<&str> {
        self.url.domain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use std::net::Ipv4Addr;

    fn reach(ports: &[u16], networks: &[&str]) -> Reach {
        let networks: Vec<_> = networks.iter().map(|net| net.parse().unwrap()).collect();
        Reach::new(ports, AllowedNetworks::new(&networks))
    }

    #[rstest]
    #[case::plain("http://1.1.1.1/", TargetError::Address)]
    #[case::other_scheme("ftp://receiver.example/", TargetError::Scheme)]
    #[case::file("file:///etc/passwd", TargetError::Scheme)]
    #[case::no_url("receiver.example/iaq", TargetError::NotUrl)]
    #[case::empty("", TargetError::NotUrl)]
    #[case::no_host("https://", TargetError::NotUrl)]
    #[case::name("https://ada@receiver.example/", TargetError::UserInfo)]
    #[case::password("https://:secret@receiver.example/", TargetError::UserInfo)]
    #[case::misleading("https://receiver.example@127.0.0.1/", TargetError::UserInfo)]
    #[case::port("https://receiver.example:8443/", TargetError::Port)]
    #[case::port_of_http("https://receiver.example:80/", TargetError::Port)]
    #[case::database("https://receiver.example:5432/", TargetError::Port)]
    #[case::loopback("https://127.0.0.1/", TargetError::Address)]
    #[case::hexadecimal("https://0x7f000001/", TargetError::Address)]
    #[case::octal("https://0177.0.0.1/", TargetError::Address)]
    #[case::decimal("https://2130706433/", TargetError::Address)]
    #[case::short("https://127.1/", TargetError::Address)]
    #[case::dot("https://127.0.0.1./", TargetError::Address)]
    #[case::encoded("https://%31%32%37.0.0.1/", TargetError::Address)]
    #[case::wide("https://127。0。0。1/", TargetError::Address)]
    #[case::circled("https://①②⑦.0.0.1/", TargetError::Address)]
    #[case::backslash("https:\\\\127.0.0.1\\", TargetError::Address)]
    #[case::zero("https://0/", TargetError::Address)]
    #[case::metadata("https://169.254.169.254/latest/meta-data/", TargetError::Address)]
    #[case::v6("https://[::1]/", TargetError::Address)]
    #[case::v6_long("https://[0:0:0:0:0:0:0:1]/", TargetError::Address)]
    #[case::mapped("https://[::ffff:10.0.0.1]/", TargetError::Address)]
    #[case::mapped_hexadecimal("https://[::ffff:a00:1]/", TargetError::Address)]
    #[case::nat64("https://[64:ff9b::10.0.0.1]/", TargetError::Address)]
    #[case::zone("https://[fe80::1%25eth0]/", TargetError::NotUrl)]
    fn a_hostile_url_is_refused(#[case] url: &str, #[case] error: TargetError) {
        assert_eq!(reach(&[], &[]).check(url), Err(error), "{url}");
    }

    #[test]
    fn an_ordinary_url_is_taken() {
        for url in [
            "https://receiver.example/iaq?key=1",
            "https://1.1.1.1/",
            "HTTPS://a.example",
        ] {
            let target = reach(&[], &[]).check(url).unwrap();
            assert_eq!(target.scheme(), Scheme::Https);
        }
        let long = format!("https://receiver.example/{}", "x".repeat(URL_LENGTH_MAX));
        assert_eq!(reach(&[], &[]).check(&long), Err(TargetError::NotUrl));
    }

    #[test]
    fn an_operator_opens_ports_and_networks() {
        let open = reach(&[8443, 8080], &["10.0.0.0/8"]);
        open.check("https://receiver.example:8443/").unwrap();
        let target = open.check("http://10.1.2.3:8080/").unwrap();
        assert_eq!((target.scheme(), target.name()), (Scheme::Http, None));
        open.check("http://[::ffff:10.0.0.1]/").unwrap();
        assert_eq!(open.check("http://10.1.2.3:8081/"), Err(TargetError::Port));
        assert_eq!(
            open.check("http://1.1.1.1:8080/"),
            Err(TargetError::Address)
        );
        assert_eq!(
            open.check("https://192.168.0.1/"),
            Err(TargetError::Address)
        );
    }

    proptest! {
        /// The parser and the check agree on what an address is, however its number is written.
        #[test]
        fn a_spelling_of_an_address_is_judged_as_the_address(bits: u32, form in 0..5) {
            let address = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = address.octets();
            let rest = u32::from(b) << 16 | u32::from(c) << 8 | u32::from(d);
            let text = match form {
                0 => format!("{bits}"),
                1 => format!("{bits:#x}"),
                2 => format!("{a}.{rest}"),
                3 => format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
                _ => format!("[{}]", address.to_ipv6_mapped()),
            };
            let taken = reach(&[], &[]).check(&format!("https://{text}/"));
            prop_assert_eq!(taken.is_ok(), is_public(address.into()), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let checked = reach(&[], &[]).check(&text);
            let of_host = reach(&[], &[]).check(&format!("https://{text}/"));
            for target in [checked, of_host].into_iter().flatten() {
                prop_assert!(target.url().username().is_empty());
            }
        }
    }
}
