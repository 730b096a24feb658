// SPDX-License-Identifier: MIT

//! The service, and how its clients find it. Only [`Address`] knows the transport.

use std::{
    fs::File,
    io::Read,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    sync::{Arc, Mutex},
    time::Duration,
};

use io_uring_ipc::zbus::{Listener, Socket};
use zbus::{
    connection::Builder, interface, object_server::SignalEmitter, proxy, Connection, Fd, Guid,
};

const PATH: &str = "/org/example/Test";

/// Where a service is.
#[derive(Clone, Debug)]
pub enum Address {
    /// A socket, peer to peer.
    Unix(String),
    /// A channel.
    Channel(String),
}

/// What clients call.
struct Service {
    level: u32,
    clients: Clients,
}

/// All connections of a service.
type Clients = Arc<Mutex<Vec<Connection>>>;

// Methods have `self`, whether they use it or not.
#[allow(clippy::unused_self)]
#[interface(name = "org.example.Test")]
impl Service {
    #[zbus(property)]
    fn level(&self) -> u32 {
        self.level
    }

    #[zbus(property)]
    fn set_level(&mut self, level: u32) {
        self.level = level;
    }

    fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    /// What a file has from its position on.
    fn read(&self, file: zbus::OwnedFd) -> zbus::fdo::Result<String> {
        let mut text = String::new();
        let mut file = File::from(OwnedFd::from(file));
        file.read_to_string(&mut text)
            .map_err(|error| zbus::fdo::Error::IOError(error.to_string()))?;
        Ok(text)
    }

    /// Never answers.
    async fn hang(&self) {
        std::future::pending::<()>().await;
    }

    /// Who calls, as the kernel says: process and user.
    async fn caller(
        &self,
        #[zbus(connection)] connection: &Connection,
    ) -> zbus::fdo::Result<(u32, u32)> {
        let other = connection.peer_creds().await.map_err(zbus::Error::from)?;
        Ok((
            other.process_id().unwrap_or(0),
            other.unix_user_id().unwrap_or(u32::MAX),
        ))
    }

    /// How many connections there are.
    fn connections(&self) -> u32 {
        let mut clients = self.clients.lock().unwrap();
        clients.retain(|client| !client.is_closed());
        u32::try_from(clients.len()).unwrap()
    }

    /// Sends signals to all.
    async fn tick_all(&self, first: u32, count: u32) -> zbus::fdo::Result<()> {
        let clients = self.clients.lock().unwrap().clone();
        for number in first..first + count {
            for client in &clients {
                // A client may be gone.
                let _ = Self::tick(&SignalEmitter::new(client, PATH)?, number).await;
            }
        }
        Ok(())
    }

    #[zbus(signal)]
    async fn tick(emitter: &SignalEmitter<'_>, number: u32) -> zbus::Result<()>;
}

#[proxy(
    interface = "org.example.Test",
    default_service = "org.example.Test",
    default_path = "/org/example/Test"
)]
pub trait Test {
    #[zbus(property(emits_changed_signal = "false"))]
    fn level(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn set_level(&self, level: u32) -> zbus::Result<()>;
    fn echo(&self, bytes: &[u8]) -> zbus::Result<Vec<u8>>;
    fn read(&self, file: Fd<'_>) -> zbus::Result<String>;
    fn hang(&self) -> zbus::Result<()>;
    fn caller(&self) -> zbus::Result<(u32, u32)>;
    fn connections(&self) -> zbus::Result<u32>;
    fn tick_all(&self, first: u32, count: u32) -> zbus::Result<()>;
    #[zbus(signal)]
    fn tick(&self, number: u32) -> zbus::Result<()>;
}

impl Address {
    /// Runs the service.
    pub async fn serve(&self) {
        let clients = Clients::default();
        match self {
            Self::Unix(path) => {
                let _ = std::fs::remove_file(path);
                let listener = tokio::net::UnixListener::bind(path).unwrap();
                permit_all(path);
                let guid = Guid::generate();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let builder = Builder::unix_stream(socket.into_std().unwrap());
                    start(builder.server(guid.clone()).p2p(), &clients);
                }
            }
            Self::Channel(name) => {
                let mut listener = Listener::bind(name, 0o622).unwrap();
                loop {
                    start(listener.accept().await.unwrap().builder(), &clients);
                }
            }
        }
    }

    /// Connects to the service, and waits until it is there.
    pub async fn connect(&self) -> Connection {
        loop {
            if let Ok(connection) = self.try_connect().await {
                let test = TestProxy::new(&connection).await.unwrap();
                if test.connections().await.is_ok() {
                    return connection;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn try_connect(&self) -> zbus::Result<Connection> {
        let builder = match self {
            Self::Unix(path) => Builder::unix_stream(UnixStream::connect(path)?).p2p(),
            Self::Channel(name) => Socket::connect(name.as_str()).await?.builder(),
        };
        builder.build().await
    }
}

fn serve_one(builder: Builder<'static>, clients: &Clients) -> Builder<'static> {
    let clients = clients.clone();
    builder.serve_at(PATH, Service { level: 7, clients })
}

/// Serves one more client.
fn start(builder: Builder<'static>, clients: &Clients) {
    let (builder, clients) = (serve_one(builder, clients), clients.clone());
    tokio::spawn(async move {
        if let Ok(connection) = builder.build().await {
            clients.lock().unwrap().push(connection);
        }
    });
}

/// Lets all users connect to a socket.
pub fn permit_all(socket: &str) {
    std::fs::set_permissions(socket, PermissionsExt::from_mode(0o666)).unwrap();
}

/// Runs a function in a runtime of its own.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}
