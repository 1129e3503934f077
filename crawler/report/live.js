const main = document.querySelector("main");
const gone = document.getElementById("gone");
async function refresh() {
  try {
    const answer = await fetch("live", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    main.innerHTML = await answer.text();
    gone.hidden = true;
  } catch {
    gone.hidden = false;
  }
  setTimeout(refresh, document.hidden ? 10000 : 2000);
}
setTimeout(refresh, 2000);
