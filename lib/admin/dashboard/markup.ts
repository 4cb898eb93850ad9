/** What stands on the page before anything is known; the script fills it. */
export const markup: string = /* html */ `
<a class="skip" href="#panels">Skip to the figures</a>
<header>
  <h1 id="title">handfast</h1>
  <label>Handshakes of
    <select id="scope"><option value="farm">the whole farm</option><option value="host">this host</option></select>
  </label>
  <button type="button" id="pause" aria-pressed="false">Pause</button>
  <p id="state" role="status" class="warn dot">connecting</p>
</header>
<main>
  <p id="alarm" role="alert" class="bad" hidden></p>
  <dl class="tiles" id="tiles"></dl>
  <section class="panel" aria-labelledby="h-chart">
    <h2 id="h-chart">Handshakes by how they came about</h2>
    <div id="chart"></div>
    <ul class="legend" id="legend"></ul>
    <p class="note" id="chart-note"></p>
  </section>
  <div class="panels" id="panels">
    <section class="panel" aria-labelledby="h-revocations" data-section="revocations">
      <h2 id="h-revocations">Revocations in force</h2>
      <div id="revocation-counts"></div>
      <form id="unlock" autocomplete="off">
        <label>Token <input id="token" type="password" autocomplete="off" spellcheck="false" required></label>
        <button>Show them</button>
        <p class="note" id="unlock-note">To see whom they name and to revoke, give the admin token
          (<code>handfast secret --admin-token</code>). It stays in this page until you close or reload it.</p>
      </form>
      <div id="unlocked" hidden>
        <form id="revoke" autocomplete="off">
          <label>Revoke
            <select id="kind">
              <option value="user">a user</option>
              <option value="lineage">a lineage</option>
              <option value="session">a session</option>
              <option value="serverName">a server name</option>
              <option value="certificate">a client certificate</option>
              <option value="all">everything</option>
            </select>
          </label>
          <label id="name-label">Name <input id="name" spellcheck="false"></label>
          <label>Reason <input id="reason" maxlength="500"></label>
          <label class="check"><input id="keep-open" type="checkbox"> leave open what is open</label>
          <button class="danger">Revoke</button>
        </form>
        <p id="revoked" role="status"></p>
        <div id="revocation-list"></div>
      </div>
    </section>
  </div>
  <noscript><p>This page needs JavaScript. <a href="/status">/status</a> and
    <a href="/metrics">/metrics</a> say the same.</p></noscript>
</main>
<dialog id="sure" aria-labelledby="sure-title">
  <h2 id="sure-title">Revoke on every member?</h2>
  <p id="sure-what"></p>
  <form method="dialog"><button value="no" autofocus>No</button><button value="yes" class="danger">Revoke</button></form>
</dialog>
`
