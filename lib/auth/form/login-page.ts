export interface LoginPageFields {
  /** Where the form is posted to. */
  readonly action: string
  /** Must come back in the field `token`. */
  readonly token: string
  /** Must come back in the field `to`. */
  readonly to: string
  readonly realm: string
  /** The last attempt was wrong. */
  readonly failed: boolean
}

/** The page unless the options bring their own. Fields: username, password, to, token. */
export function loginPage({ action, token, to, realm, failed }: LoginPageFields): string {
  const name = escapeHtml(realm)
  const error = failed ? '<p role="alert">User name or password is wrong.</p>' : ''
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in: ${name}</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh }
form { display: grid; gap: .75rem; width: min(20rem, 90vw) }
input, button { font: inherit; padding: .5rem; width: 100%; box-sizing: border-box }
</style>
<form method="post" action="${escapeHtml(action)}">
<h1>${name}</h1>
${error}
<label>User name <input name="username" autocomplete="username" required autofocus></label>
<label>Password
<input name="password" type="password" autocomplete="current-password" required></label>
<input type="hidden" name="to" value="${escapeHtml(to)}">
<input type="hidden" name="token" value="${escapeHtml(token)}">
<button>Log in</button>
</form>
</html>
`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}
