module.exports = {
  apps: [
    {
      name: 'shop',
      script: 'server.js',
      exec_mode: 'cluster',
      instances: 4,
      // A reload goes on when the new worker has said that it listens.
      wait_ready: true,
      listen_timeout: 10_000,
      // Open requests may take so long after SIGINT; then the worker is killed.
      kill_timeout: 10_000,
    },
  ],
}
