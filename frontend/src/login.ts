import "./styles/tokens.css";
import "./styles/base.css";
import { createApp } from "vue";
import { session, withSession } from "./access";
import { nextPage } from "./access/login-address";
import LoginView from "./views/LoginView.vue";

await withSession(() => {
  // Whoever is in already, or need not log in, has nothing to do here.
  if (session.person === undefined) createApp(LoginView).mount("#app");
  else location.replace(nextPage(location.search));
});
