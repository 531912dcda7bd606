//! Proxies as networks have them, HTTP and SOCKS5, that lead to a small world of names.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::server::pass;

/// User and password of those that want some, and the same in base64 by the base64 command.
pub const LOGIN: (&str, &str) = ("me", "s/ecret");
const LOGIN_BASE64: &str = "bWU6cy9lY3JldA==";
/// [`LOGIN`] as a URL has it.
pub const LOGIN_IN_URL: &str = "me:s%2Fecret";

/// A running proxy.
pub struct Tunnel {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What a proxy knows.
struct World {
    hosts: HashMap<String, SocketAddr>,
    wants_login: bool,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// An HTTP proxy: CONNECT for anything, and plain requests with a whole URL.
    pub fn http(hosts: &[(&str, SocketAddr)], wants_login: bool) -> Self {
        Self::start(hosts, wants_login, serve_http)
    }

    /// A SOCKS5 proxy that looks names up itself.
    pub fn socks(hosts: &[(&str, SocketAddr)], wants_login: bool) -> Self {
        Self::start(hosts, wants_login, serve_socks)
    }

    fn start(hosts: &[(&str, SocketAddr)], wants_login: bool, serve: fn(TcpStream, &World) -> Option<()>) -> Self {
        let hosts = hosts.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let (listener, asked) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let address = listener.local_addr().unwrap();
        let world = Arc::new(World { hosts, wants_login, asked: Arc::clone(&asked) });
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let world = Arc::clone(&world);
                std::thread::spawn(move || serve(client, &world));
            }
        });
        Self { address, asked }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked for, in order: `CONNECT HOST:PORT`, or a method and a URL.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl World {
    fn note(&self, request: &str) {
        self.asked.lock().unwrap().push(request.to_owned());
    }

    /// A connection to a host of this world, whatever the port.
    fn reach(&self, host: &str) -> Option<TcpStream> {
        TcpStream::connect(self.hosts.get(host)?).ok()
    }
}

fn serve_http(mut client: TcpStream, world: &World) -> Option<()> {
    let head = read_head(&mut client)?;
    let (line, headers) = head.split_once("\r\n")?;
    let (method, target) = line.strip_suffix(" HTTP/1.1")?.split_once(' ')?;
    let login = format!("basic {LOGIN_BASE64}").to_ascii_lowercase();
    let has_login = headers.lines().any(|header| {
        let (name, value) = header.split_once(": ").unwrap_or_default();
        name.eq_ignore_ascii_case("proxy-authorization") && value.to_ascii_lowercase() == login
    });
    let answer = |client: &mut TcpStream, status: &str| {
        write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()
    };
    if world.wants_login && !has_login {
        return answer(&mut client, "407 Proxy Authentication Required");
    }
    world.note(&format!("{method} {target}"));
    if method == "CONNECT" {
        let Some(server) = world.reach(target.rsplit_once(':')?.0) else { return answer(&mut client, "403 Forbidden") };
        write!(client, "HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
        pass(&client, &server);
        return Some(());
    }
    let (authority, path) = target.strip_prefix("http://")?.split_once('/')?;
    let host = authority.split(':').next()?;
    let Some(mut server) = world.reach(host) else { return answer(&mut client, "403 Forbidden") };
    let is_for_the_server = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !line.is_empty() && !matches!(name.as_str(), "connection" | "proxy-authorization")
    };
    let headers: Vec<_> = headers.lines().filter(is_for_the_server).collect();
    write!(server, "{method} /{path} HTTP/1.1\r\n{}\r\nConnection: close\r\n\r\n", headers.join("\r\n")).ok()?;
    pass(&client, &server);
    Some(())
}

/// Byte by byte, so that what follows the head stays where it is.
fn read_head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// RFC 1928, and RFC 1929 for the login.
fn serve_socks(mut client: TcpStream, world: &World) -> Option<()> {
    let mut read = |length: usize| {
        let mut bytes = vec![0; length];
        client.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let [5, methods] = read(2)?[..] else { return None };
    let wanted = if world.wants_login { 2 } else { 0 };
    let is_offered = read(methods.into())?.contains(&wanted);
    client.write_all(&[5, if is_offered { wanted } else { 0xff }]).ok()?;
    if !is_offered {
        return None;
    }
    let read = |client: &mut TcpStream, length: usize| {
        let mut bytes = vec![0; length];
        client.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let read_word = |client: &mut TcpStream| {
        let length = read(client, 1)?[0];
        String::from_utf8(read(client, length.into())?).ok()
    };
    if world.wants_login {
        read(&mut client, 1)?;
        let (user, password) = (read_word(&mut client)?, read_word(&mut client)?);
        let is_right = (user.as_str(), password.as_str()) == LOGIN;
        client.write_all(&[1, u8::from(!is_right)]).ok()?;
        if !is_right {
            return None;
        }
    }
    let [5, 1, 0, kind] = read(&mut client, 4)?[..] else { return None };
    let host = match kind {
        1 => <[u8; 4]>::try_from(read(&mut client, 4)?).map(Ipv4Addr::from).ok()?.to_string(),
        3 => read_word(&mut client)?,
        _ => return None,
    };
    let port = u16::from_be_bytes(read(&mut client, 2)?.try_into().ok()?);
    world.note(&format!("CONNECT {host}:{port}"));
    let server = world.reach(&host);
    client.write_all(&[5, if server.is_some() { 0 } else { 4 }, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    pass(&client, &server?);
    Some(())
}
