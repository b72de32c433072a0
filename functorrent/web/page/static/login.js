// The token, asked for once where the daemon wants one.

import { logIn, logOut } from "./api.js";
import { byId, setText } from "./dom.js";

/** `entered()` is called when the daemon has taken the token. Returns {ask, allowLeaving}. */
export function login(entered) {
  const dialog = byId("login");
  const field = byId("token");
  const problem = byId("login-problem");
  const leave = byId("log-out");

  byId("login-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = byId("login-button");
    button.disabled = true;
    setText(problem, "");
    try {
      await logIn(field.value.trim());
      field.value = "";
      dialog.close();
      leave.hidden = false;
      entered();
    } catch (error) {
      const wrong = error.status === 401 || error.status === 403;
      setText(problem, wrong ? "This is not the token." : error.message);
      field.select();
    }
    button.disabled = false;
  });
  // There is nothing to see without it.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  leave.addEventListener("click", async () => {
    await logOut().catch(() => {});
    location.replace(location.pathname);
  });

  return {
    ask() {
      if (!dialog.open) {
        dialog.showModal();
        field.focus();
      }
    },
    allowLeaving() {
      leave.hidden = false;
    },
  };
}
